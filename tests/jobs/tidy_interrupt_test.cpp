/// Commands that write a folder, and are interrupted while they do: nothing of it stays.
#include "jobs/tidy_interrupt.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <set>
#include <string>
#include <thread>

namespace troupe::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// `troupe import` that waits for its input in the midst of its work.
class TidyInterrupt : public ::testing::Test {
protected:
  void SetUp() override { ASSERT_EQ(::mkfifo(pipe().c_str(), 0600), 0); }

  fs::path pipe() const { return folder_ / "pipe"; }
  std::vector<std::string> command() const { return {"import", pipe().string(), (folder_ / "new" / "set").string()}; }
  fs::path said() const { return folder_ / "said"; }

  /// What lies where the command writes, once there is something of it, or the command has ended.
  std::set<std::string> begun(program& troupe) const {
    while (troupe.running() && written().empty()) {
      std::this_thread::sleep_for(5ms);
    }
    return written();
  }
  std::set<std::string> written() const {
    std::set<std::string> names;
    std::error_code none_yet;
    for (const auto& entry : fs::directory_iterator(folder_ / "new", none_yet)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  temporary_folder folder_;
};

TEST_F(TidyInterrupt, EndsBySignalAndLeavesNothing) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    program troupe(command(), said());
    ASSERT_EQ(begun(troupe).size(), 1U) << text_of(said());
    troupe.signal(number);
    EXPECT_EQ(troupe.wait(), -number) << text_of(said());
    EXPECT_EQ(written(), std::set<std::string>()) << "after signal " << number;
  }
}

TEST_F(TidyInterrupt, AHangUpThatIsIgnoredEndsNothing) {
  std::signal(SIGHUP, SIG_IGN);  // as nohup does; the program inherits it
  program troupe(command(), said());
  std::signal(SIGHUP, SIG_DFL);
  ASSERT_EQ(begun(troupe).size(), 1U) << text_of(said());
  troupe.signal(SIGHUP);
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(begun(troupe).size(), 1U);
  const int input = ::open(pipe().c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(input, 0);
  ::close(input);
  EXPECT_EQ(troupe.wait(), 1) << "a file without answers is refused";
  EXPECT_NE(text_of(said()).find("has no answer"), std::string::npos) << text_of(said());
  EXPECT_EQ(written(), std::set<std::string>());
}

TEST(TidyInterruptAlone, LeavesSignalsAsTheyWere) {
  std::signal(SIGTERM, SIG_IGN);
  {
    const tidy_interrupt tidy;
    EXPECT_EQ(std::raise(SIGTERM), 0);
  }
  EXPECT_EQ(std::signal(SIGTERM, SIG_DFL), SIG_IGN);
  EXPECT_EQ(std::signal(SIGINT, SIG_DFL), SIG_DFL);
}

}  // namespace
}  // namespace troupe::test
