// Rewards by a program of the user's in whole runs: what it says is what is learned from; it ends with its rank; a run
// that is killed and goes on ends with the same bytes; and what goes wrong with it ends the run with a clear word.
#include "io/experience/experience.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

namespace troupe::test {
namespace {

using namespace std::chrono_literals;

std::filesystem::path example() { return source_tree() / "jobs/examples/own_reward.py"; }

words arguments(const std::filesystem::path& run, const std::string& command, const words& more = {}) {
  return run_of_job("tiny", run) + words_of("--run.phases ppo --data.openings.phases ppo --ppo.ptx-coef 0") +
         words{"--generation.stop", ".", "--rewards.learned.kind", "command", "--rewards.learned.command", command} +
         more;
}

std::string bad_program(const std::string& mode) {
  return "python3 -B '" + test_data() + "/rewards/programs/program.py' " + mode;
}

std::string good_program() { return "python3 -B '" + example().string() + "'"; }

/// What the example makes of an answer.
double expected_reward(const std::string& answer, bool finished) {
  std::istringstream words(answer);
  int count = 0;
  for (std::string word; words >> word;) {
    ++count;
  }
  return finished ? std::max(0.0, 1.0 - std::abs(count - 20) / 20.0) : 0.0;
}

TEST(OwnReward, WhatTheExampleSaysIsWhatIsLearnedFrom) {
  const temporary_folder folder;
  const program_result result = run_program(arguments(folder / "run", good_program()));
  ASSERT_EQ(result.status, 0) << result.output;
  for (const char* file : {"iteration-000001.h5", "iteration-000004.h5"}) {
    const io::experience e = io::read_experience(folder / "run" / "experience" / file);
    ASSERT_EQ(e.reward_names[1], "learned");
    EXPECT_GT(std::count(e.finished_B.begin(), e.finished_B.end(), 1), 0) << "else all rewards are 0";
    for (size_t b = 0; b < e.finished_B.size(); ++b) {
      EXPECT_FLOAT_EQ(e.reward_raw_BS[2 * b + 1],
                      static_cast<float>(expected_reward(e.answer_text_B[b], e.finished_B[b] != 0)));
    }
  }
  EXPECT_NE(text_of(folder / "run" / "metrics.jsonl").find("reward/learned_mean"), std::string::npos);
}

TEST(OwnReward, TheExampleInTheDocumentIsTheFile) {
  const std::filesystem::path document = source_tree() / "docs/rewards.md";
  EXPECT_NE(text_of(document).find(text_of(example())), std::string::npos);
}

TEST(OwnReward, AKilledRankLosesNothingAndLeavesNoProgramBehind) {
  const temporary_folder folder;
  const program_result whole = run_program(arguments(folder / "whole", good_program(), {"--run.lanes", "2"}));
  ASSERT_EQ(whole.status, 0) << whole.output;
  program killed(arguments(folder / "killed", good_program(), {"--run.lanes", "2", "--place.ranks", "2"}),
                 folder / "output");
  await_records(killed, folder / "killed", 2);
  ASSERT_TRUE(killed.running()) << text_of(folder / "output");
  const std::vector<pid_t> all = killed.descendants();
  ASSERT_TRUE(killed.kill_rank());
  ASSERT_EQ(killed.wait(), 0) << text_of(folder / "output");
  expect_equal_runs(folder / "whole", folder / "killed");
  for (const pid_t pid : all) {
    for (int i = 0; i < 300 && process_exists(pid); ++i) {
      std::this_thread::sleep_for(10ms);
    }
    EXPECT_FALSE(process_exists(pid));
  }
}

TEST(OwnReward, AProgramThatDoesNotWorkEndsTheRunBeforeItBegins) {
  const temporary_folder folder;
  const program_result result = run_program(arguments(folder / "run", bad_program("ends-at-once")));
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("rewards.learned.command"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("I have no model"), std::string::npos) << result.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
  const program_result missing = run_program(arguments(folder / "run", "./no-such-program"));
  EXPECT_EQ(missing.status, 2);
  EXPECT_NE(missing.output.find("there is no program ./no-such-program"), std::string::npos) << missing.output;
}

TEST(OwnReward, AnswersWithoutRewardAreKeptAsSuch) {
  const temporary_folder folder;
  const program_result result = run_program(
      arguments(folder / "run", bad_program("null-for-thirds"), {"--rewards.learned.max-unscorable", "0.95"}));
  ASSERT_EQ(result.status, 0) << result.output;
  const io::experience e = io::read_experience(folder / "run" / "experience" / "iteration-000001.h5");
  size_t missing = 0;
  for (size_t b = 0; b < e.finished_B.size(); ++b) {
    const bool none = std::isnan(e.reward_raw_BS[2 * b + 1]);
    EXPECT_EQ(none, e.answer_text_B[b].size() % 3 == 0);
    missing += none ? 1 : 0;
    for (auto a = e.answer_offset_B1[b]; none && a < e.answer_offset_B1[b + 1]; ++a) {
      EXPECT_EQ(e.advantage_A[static_cast<size_t>(a)], 0);
    }
  }
  EXPECT_GT(missing, 0U);
  EXPECT_NE(text_of(folder / "run" / "metrics.jsonl").find("reward/unscorable_share"), std::string::npos);
}

TEST(OwnReward, TooManyWithoutRewardEndTheRunWithAClearWord) {
  const temporary_folder folder;
  const program_result result = run_program(arguments(folder / "run", bad_program("nan")));
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("answers could not be scored"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("rewards.learned.max-unscorable"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace troupe::test
