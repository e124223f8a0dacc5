// Runs that compute on cards, which the tests emulate behind a module of their own: what runs on CPUs promise, they do.
#include "support/program.hpp"
#include "support/undisturbed_run.hpp"
#include "support/verified_replay.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>

namespace troupe::test {

namespace fs = std::filesystem;
/// All four phases, with as little in each as will do: a card that is emulated is slow.
static words arguments(const fs::path& run, int ranks, const char* type = "bf16", const char* device = "cuda") {
  return run_of_job("tiny", run) +
         words{"--place.ranks", std::to_string(ranks), "--model.dtype", type, "--place.device", device} + words_of(R"(
             --run.lanes 2 --run.threads 1
             --length.max-prompt-tokens 24 --length.max-tokens 32 --generation.max-new-tokens 6
             --pairs.prompts 16 --pairs.prompts-per-iteration 8 --pairs.margin 0
             --sft.batch 2 --sft.micro-batch-tokens 32 --sft.updates 2
             --reward.batch 2 --reward.micro-batch-tokens 32 --reward.updates 2
             --ppo.iterations 2 --ppo.prompts 2 --ppo.epochs 1 --ppo.micro-batch-tokens 64 --ppo.evaluate-every 0
             --evaluation.prompts 1 --evaluation.records 1)");
}

/// A run of one rank in which nothing dies, made once. It is exact: every sampled token has the log-probability that
/// training computes, or it would have stopped.
class CardRun : public undisturbed_run<CardRun> {
public:
  static words command_of_undisturbed(const fs::path& run) { return arguments(run, 1); }

protected:
  static void SetUpTestSuite() {
    ::setenv("TROUPE_CUDA_MODULE", TROUPE_MODULE_emulated, 1);
    undisturbed_run::SetUpTestSuite();
  }
  static void TearDownTestSuite() {
    undisturbed_run::TearDownTestSuite();
    ::unsetenv("TROUPE_CUDA_MODULE");
  }
};

TEST_F(CardRun, OnTwoRanksEndsInTheBytesOfOne) {
  const fs::path run = scratch_ / "run";
  const program_result result = run_program(arguments(run, 2) + words{"--place.policy-zero", "1", "--place.critic-zero",
                                                                      "2", "--place.tensor-parallel", "2"});
  ASSERT_EQ(result.status, 0) << result.output;
  expect_equal_to_undisturbed(run);
  EXPECT_NE(result.output.find("arrays on cards go from rank to rank through host memory: rank 0: emulated card: it "
                               "cannot be reached by the card of another process"),
            std::string::npos)
      << result.output;
}

/// Before anything is learned, and only once.
TEST_F(CardRun, RefusesWiresThatAreAskedForAndNotThere) {
  const fs::path run = scratch_ / "run";
  const program_result result = run_program(arguments(run, 2) + words{"--place.exchange", "nccl"});
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_NE(result.output.find("place.exchange = nccl: rank 0: emulated card: it cannot be reached by the card of "
                               "another process (auto takes"),
            std::string::npos)
      << result.output;
  EXPECT_FALSE(fs::exists(run / "metrics.jsonl") && fs::file_size(run / "metrics.jsonl") > 0);
}

/// What learns, and what only scores, is sent to the card by segments.
TEST_F(CardRun, LearnsTheSameInHostMemory) {
  const fs::path run = scratch_ / "run";
  const program_result result = run_program(arguments(run, 1) + words{"--place.optimizer", "host", "--place.frozen",
                                                                      "host", "--run.checkpoint-copy", "false"});
  ASSERT_EQ(result.status, 0) << result.output;
  expect_equal_to_undisturbed(run);
}

/// And what learns goes from the card to host memory and back.
TEST_F(CardRun, KilledAndResumedEndsInTheSameBytes) {
  const fs::path run = scratch_ / "run";
  const words command =
      arguments(run, 2) + words{"--place.policy-zero", "3", "--place.critic-zero", "3",  "--place.reward-zero", "3",
                                "--place.frozen-zero", "3", "--recovery.restarts", "100"};
  for (const char* optimizer : {"card", "host"}) {
    kill_rank_and_supervisor(
        command + words{"--place.optimizer", optimizer, "--place.frozen", optimizer, "--run.checkpoint-copy", "false"},
        run, scratch_ / "output", 2, 2);
  }
  const program_result last = run_program(command);
  ASSERT_EQ(last.status, 0) << last.output;
  EXPECT_NE(text_of(run / "ledger.jsonl").find("phase_resumed"), std::string::npos);
  expect_equal_to_undisturbed(run);
}

TEST_F(CardRun, ReplayThereComesToItsWeights) {
  expect_verified(
      run_program(verification_of(copy_of_undisturbed(), {"--place.ranks", "2", "--place.policy-zero", "3"})), 100);
}

/// By name, of a record of metrics.jsonl.
static double metric(const fs::path& run, const std::string& name) {
  std::istringstream lines(text_of(run / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const nlohmann::json record = nlohmann::json::parse(line);
    if (record.contains(name)) {
      return record.at(name);
    }
  }
  ADD_FAILURE() << run << " has no " << name;
  return 0;
}

/// In float32 both sample the same pairs to learn from.
TEST_F(CardRun, LearnsWhatTheHostLearns) {
  const words few = {"--run.phases", "pairs sft reward"};
  const fs::path host = scratch_ / "host", card = scratch_ / "card";
  ASSERT_EQ(run_program(arguments(host, 1, "f32", "cpu") + few).status, 0);
  ASSERT_EQ(run_program(arguments(card, 1, "f32") + few).status, 0);
  for (const char* name : {"policy/loss", "reward/loss", "held_out/loss"}) {
    EXPECT_NEAR(metric(card, name), metric(host, name), 1e-4) << name;
  }
}

TEST_F(CardRun, GoesOnOnTheHostAndBack) {
  const fs::path run = scratch_ / "run";
  for (const char* device : {"cuda", "cpu"}) {
    program troupe(arguments(run, 1, "bf16", device), scratch_ / "output");
    await_records(troupe, run, 3);
    EXPECT_EQ(troupe.stop(SIGTERM), 75) << text_of(scratch_ / "output");
  }
  const program_result last = run_program(arguments(run, 1));
  EXPECT_EQ(last.status, 0) << last.output;
}

}  // namespace troupe::test
