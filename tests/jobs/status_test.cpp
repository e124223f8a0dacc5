// troupe status --watch: told again and again, until the run has ended.
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

namespace troupe::test {

using namespace std::chrono_literals;

static int64_t times(const std::string& text, const std::string& part) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

/// A run whose supervisor has ended without a word.
class StatusWatch : public ::testing::Test {
protected:
  StatusWatch() {
    std::filesystem::create_directories(run());
    std::ofstream(run() / "attempt") << "1\n";
    std::ofstream(run() / "job.ini") << "[run]\nphases = sft\n[model]\npolicy = " << test_data() << "/stories260k\n"
                                     << "[data.a]\npath = a.jsonl\n";
    note(R"({"event":"run_started","time":1,"attempt":0,"pid":1})");
  }
  std::filesystem::path run() const { return folder_ / "run"; }
  void note(const std::string& event) const { std::ofstream(run() / "ledger.jsonl", std::ios::app) << event << "\n"; }
  void finish() const { note(R"({"event":"run_finished","time":9,"attempt":1})"); }
  std::string said() const { return text_of(folder_ / "output"); }
  /// Waits until it has been told so often.
  void await_told(const std::string& part, int64_t often) const {
    for (int i = 0; i < 3000 && times(said(), part) < often; ++i) {
      std::this_thread::sleep_for(10ms);
    }
    ASSERT_GE(times(said(), part), often) << said();
  }

  temporary_folder folder_;
};

TEST_F(StatusWatch, TellsOneBelowTheOtherUntilTheRunHasEnded) {
  program watch({"status", run().string(), "--watch=1"}, folder_ / "output");
  await_told("state        interrupted\n", 2);
  EXPECT_TRUE(watch.running());
  finish();
  EXPECT_EQ(watch.wait(), 0);
  EXPECT_EQ(times(said(), "\n\nrun          "), times(said(), "state        ") - 1) << "an empty line between";
  EXPECT_EQ(times(said(), "state        finished\n"), 1) << said();
  EXPECT_EQ(said().find('\x1b'), std::string::npos) << "no terminal";
}

TEST_F(StatusWatch, AsJsonTellsOneLineEachTime) {
  program watch({"status", run().string(), "--json", "--watch=1"}, folder_ / "output");
  await_told("\"interrupted\"", 2);
  finish();
  EXPECT_EQ(watch.wait(), 0);
  EXPECT_EQ(times(said(), "\n"), times(said(), "{\"run\":")) << said();
  EXPECT_EQ(json_output(said()).at("state"), "finished");
}

TEST_F(StatusWatch, OfARunThatHasEndedTellsOnce) {
  note(R"({"event":"run_failed","time":9,"attempt":1,"reason":"no luck"})");
  const program_result result = run_program({"status", run().string(), "--watch"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(times(result.output, "state        failed: no luck\n"), 1) << result.output;
}

TEST_F(StatusWatch, OnATerminalTellsInTheSamePlace) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  finish();
  const char* before = std::getenv("TERM");
  const std::string kept = before != nullptr ? before : "";
  ::setenv("TERM", "xterm", 1);
  program watch({"status", run().string(), "--watch=1"}, ::ptsname(terminal));
  char text[65536];
  std::string shown;
  for (ssize_t got = 0;
       shown.find("failures") == std::string::npos && (got = ::read(terminal, text, sizeof(text))) > 0;) {
    shown.append(text, static_cast<size_t>(got));
  }
  EXPECT_EQ(watch.wait(), 0);
  ::close(terminal);
  before != nullptr ? ::setenv("TERM", kept.c_str(), 1) : ::unsetenv("TERM");
  EXPECT_TRUE(shown.starts_with("\x1b[H\x1b[J")) << shown;
}

TEST_F(StatusWatch, NeedsAPauseBetween) {
  const program_result result = run_program({"status", run().string(), "--watch=0"});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("--watch=0: a number of seconds above 0"), std::string::npos) << result.output;
}

}  // namespace troupe::test
