// A rollout that was cut is not lost: ranks are killed while the policy samples, the next attempt takes up what had
// finished, and the bytes at the end are those of an undisturbed run.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <regex>
#include <set>
#include <thread>

namespace troupe::test {

using namespace std::chrono_literals;

namespace {

/// Rollouts that take a while: a small cache lets few sequences in at a time. Parts are written at every chance.
words arguments(const std::filesystem::path& run, const std::string& ranks) {
  return run_of_job("ppo", run) + words{"--place.ranks", ranks} + words_of(R"(
             --run.lanes 2 --run.threads 1 --run.checkpoint-every 2 --ppo.prompts 64 --generation.cache-mib 1
             --generation.max-new-tokens 40 --experience.save-rollout-s 0.001 --recovery.restarts 100)");
}

std::set<std::string> parts_of(const std::filesystem::path& run) {
  std::set<std::string> parts;
  std::error_code ignored;
  for (std::filesystem::recursive_directory_iterator at(run / "rollouts", ignored), end; at != end;
       at.increment(ignored)) {
    if (at->path().extension() == ".part") {
      parts.insert(at->path().string());
    }
  }
  return parts;
}

/// What the ledger says of sequences that were taken up.
struct taken_up {
  int times = 0;       ///< rollouts
  int cut = 0;         ///< of these, rollouts of which some, but not all had finished
  int64_t tokens = 0;  ///< answer tokens that were not sampled again
};

taken_up taken_up_in(const std::filesystem::path& run) {
  const std::string ledger = text_of(run / "ledger.jsonl");
  const std::regex note(R"(took up (\d+) of (\d+) sequences of a rollout \((\d+) answer tokens\))");
  taken_up found;
  for (std::sregex_iterator at(ledger.begin(), ledger.end(), note), end; at != end; ++at) {
    ++found.times;
    found.cut += (*at)[1] != (*at)[2] ? 1 : 0;
    found.tokens += std::stoll((*at)[3]);
  }
  return found;
}

/// Kills a rank in each rollout, as soon as a part of it has been written. Returns how often it has.
int disturb(program& troupe, const std::filesystem::path& run) {
  std::set<std::string> disturbed;
  while (troupe.running()) {
    for (const std::string& part : parts_of(run)) {
      const std::string rollout = std::filesystem::path(part).parent_path();
      const pid_t rank = disturbed.contains(rollout) ? 0 : troupe.worker();
      if (rank != 0 && ::kill(rank, SIGKILL) == 0) {
        disturbed.insert(rollout);
      }
    }
    std::this_thread::sleep_for(1ms);
  }
  return static_cast<int>(disturbed.size());
}

void expect_taken_up(const std::string& ranks) {
  const temporary_folder folder;
  const program_result whole = run_program(arguments(folder / "whole", "1"));
  ASSERT_EQ(whole.status, 0) << whole.output;
  EXPECT_EQ(taken_up_in(folder / "whole").times, 0);

  program troupe(arguments(folder / "cut", ranks), folder / "output");
  EXPECT_EQ(disturb(troupe, folder / "cut"), 4);
  ASSERT_EQ(troupe.wait(), 0) << text_of(folder / "output");
  const taken_up found = taken_up_in(folder / "cut");
  EXPECT_GE(found.times, 4) << text_of(folder / "cut/ledger.jsonl");
  EXPECT_GE(found.cut, 1) << text_of(folder / "cut/ledger.jsonl");
  EXPECT_GT(found.tokens, 0);
  expect_equal_runs(folder / "whole", folder / "cut");
  EXPECT_TRUE(parts_of(folder / "cut").empty()) << "a run that has ended needs no parts of rollouts";
}

}  // namespace

TEST(CutRollout, OneRankGoesOnFromWhatHadFinished) { expect_taken_up("1"); }
TEST(CutRollout, TwoRanksGoOnFromWhatHadFinished) { expect_taken_up("2"); }

}  // namespace troupe::test
