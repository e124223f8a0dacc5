// How a run ends, as its user and its launcher see it: ranks leave MPI in order, mpirun has nothing to complain of, and
// no state that a run may be in is deaf to who wants its end.
#include "support/program.hpp"
#include "support/stories.hpp"
#include "support/temporary_folder.hpp"
#include "support/text_search.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace troupe::test {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class OrderlyEnd : public ::testing::Test {
protected:
  void SetUp() override { write_stories(data(), 200); }
  void TearDown() override { ::setenv("PATH", path_.c_str(), 1); }

  fs::path data() const { return folder_ / "data.jsonl"; }
  fs::path run() const { return folder_ / "run"; }
  fs::path output() const { return folder_ / "output"; }
  words arguments(int ranks, int updates, const words& more = {}) const {
    return run_of_job("tiny", run()) + words_of("--run.phases sft --data.openings.phases sft --run.lanes 2") +
           words{"--run.threads", "1", "--data.openings.path", data().string()} +
           words{"--sft.updates", std::to_string(updates), "--place.ranks", std::to_string(ranks)} + more;
  }

  /// A field of the ledger's events of a kind.
  std::vector<std::string> told(const std::string& kind, const std::string& field) const {
    std::vector<std::string> found;
    std::istringstream lines(text_of(run() / "ledger.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto event = nlohmann::json::parse(line);
      if (event.value("event", "") == kind) {
        found.push_back(event.value(field, ""));
      }
    }
    return found;
  }

  /// In place of mpirun.
  void let_mpirun_be(const std::string& script) const {
    const fs::path folder = folder_ / "bin";
    fs::create_directories(folder);
    std::ofstream(folder / "mpirun") << "#!/bin/sh\n" << script << '\n';
    fs::permissions(folder / "mpirun", fs::perms::owner_all);
    ::setenv("PATH", (folder.string() + ":" + path_).c_str(), 1);
  }

  void await(const std::string& text) const {
    for (int i = 0; i < 6000 && !contains(text_of(output()), text); ++i) {
      std::this_thread::sleep_for(10ms);
    }
    ASSERT_TRUE(contains(text_of(output()), text)) << text_of(output());
  }

  /// Signals until the end, a while apart; the seconds that the last one took.
  double ended_by(program& troupe, const std::vector<int>& signals) const {
    for (size_t i = 0; i + 1 < signals.size(); ++i) {
      troupe.signal(signals[i]);
      std::this_thread::sleep_for(700ms);
      EXPECT_TRUE(troupe.running()) << text_of(output());
    }
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(troupe.stop(signals.back()), 75) << text_of(output());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  const std::string path_ = std::getenv("PATH");
  temporary_folder folder_;
};

TEST_F(OrderlyEnd, TwoRanksLeaveMpiInOrder) {
  const program_result result = run_program(arguments(2, 3));
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_FALSE(contains(result.output, "mpirun")) << result.output;
  EXPECT_FALSE(contains(text_of(run() / "log.txt"), "mpirun")) << text_of(run() / "log.txt");
  EXPECT_EQ(told("attempt_finished", "exit"), std::vector<std::string>{"exit code 0"});
}

TEST_F(OrderlyEnd, AlsoWhereTheyAreStopped) {
  program troupe(arguments(2, 100'000), output());
  await_records(troupe, run(), 3);
  EXPECT_EQ(troupe.stop(SIGTERM), 75) << text_of(output());
  EXPECT_FALSE(contains(text_of(output()), "mpirun")) << text_of(output());
  EXPECT_EQ(told("attempt_finished", "exit"), std::vector<std::string>{"exit code 0"});
}

TEST_F(OrderlyEnd, WhereARankIsKilledTheReasonIsToldAndNotWhatMpirunExplains) {
  program troupe(arguments(2, 40), output());
  await_records(troupe, run(), 3);
  const pid_t victim = troupe.worker();
  ASSERT_GT(victim, 0);
  ::kill(victim, SIGKILL);
  EXPECT_EQ(troupe.wait(), 0) << text_of(output());
  EXPECT_FALSE(contains(text_of(output()), "--------------------")) << text_of(output());
  EXPECT_FALSE(contains(text_of(output()), "mpirun noticed")) << text_of(output());
  EXPECT_EQ(told("worker_failed", "reason").size(), 1U);
  EXPECT_EQ(told("attempt_finished", "exit"), std::vector<std::string>{"exit code 0"});
}

TEST_F(OrderlyEnd, TheHeadSaysWhatRunsAndTheLogKeepsWhatWasSaid) {
  const program_result result = run_program(arguments(2, 3));
  ASSERT_EQ(result.status, 0) << result.output;
  const std::string log = text_of(run() / "log.txt");
  for (const std::string& text : {result.output, log}) {
    EXPECT_TRUE(contains(text, ", run " + run().string() + ", 2 ranks, 1 thread each, phase sft\n")) << text;
    EXPECT_TRUE(contains(text, "sft 3/3 updates")) << text;
    EXPECT_TRUE(contains(text, " held out")) << "what the ranks say of the data: " << text;
  }
  EXPECT_FALSE(contains(result.output, "\033")) << "there is no terminal";
}

TEST_F(OrderlyEnd, QuietTellsNothingOfAGoodDay) {
  const program_result result = run_program(arguments(1, 3, {"--quiet"}));
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output, "");
  EXPECT_TRUE(contains(text_of(run() / "log.txt"), "sft 3/3 updates"));
}

TEST_F(OrderlyEnd, ASecondTermEndsARunWhoseRankStandsStill) {
  program troupe(arguments(1, 100'000), output());
  await_records(troupe, run(), 3);
  const pid_t worker = troupe.worker();
  ASSERT_GT(worker, 0);
  ::kill(worker, SIGSTOP);
  EXPECT_LT(ended_by(troupe, {SIGTERM, SIGTERM}), 10);
  EXPECT_FALSE(process_exists(worker));
}

TEST_F(OrderlyEnd, SoDoesAThirdCtrlC) {
  program troupe(arguments(2, 100'000), output());
  await_records(troupe, run(), 3);
  for (const pid_t worker : troupe.workers()) {
    ::kill(worker, SIGSTOP);
  }
  EXPECT_LT(ended_by(troupe, {SIGINT, SIGINT, SIGINT}), 10);
}

TEST_F(OrderlyEnd, ARunIsStoppedBeforeItsRanksAreThere) {
  let_mpirun_be("echo waiting >&2; exec sleep 600");
  program troupe(arguments(2, 100'000), output());
  await("waiting");
  EXPECT_LT(ended_by(troupe, {SIGTERM}), 10);
}

TEST_F(OrderlyEnd, AndBetweenTwoAttempts) {
  let_mpirun_be("echo no ranks today >&2; exit 9");
  program troupe(arguments(2, 100'000, {"--recovery.restarts", "1000"}), output());
  await("(4 of 1000 tries)");  // the pauses grow
  EXPECT_LT(ended_by(troupe, {SIGTERM}), 10);
}

TEST_F(OrderlyEnd, ALauncherAboveItIsTold) {
  ::setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  ::setenv("OMPI_COMM_WORLD_RANK", "0", 1);
  const program_result first = run_program(arguments(1, 3));
  const program_result replay = run_program({"replay", run().string(), "--verify"});
  ::setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  const program_result second = run_program(arguments(1, 3));
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  ::unsetenv("OMPI_COMM_WORLD_RANK");
  EXPECT_EQ(first.status, 2);
  EXPECT_TRUE(contains(first.output, "mpirun has started 2 of it: start it once, without mpirun; it starts its ranks "
                                     "itself"))
      << first.output;
  EXPECT_EQ(replay.status, 2);
  EXPECT_TRUE(contains(replay.output, "mpirun has started 2 of it")) << replay.output;
  EXPECT_EQ(second.status, 2);
  EXPECT_EQ(second.output, "") << "one of them is enough to say it";
}

}  // namespace troupe::test
