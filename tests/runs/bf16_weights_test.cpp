// Runs whose models compute with weights in bfloat16 and learn in float32 masters: what float32 runs promise, they do.
#include "support/program.hpp"
#include "support/undisturbed_run.hpp"
#include "support/verified_replay.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace troupe::test {

namespace fs = std::filesystem;
static words arguments(const fs::path& run, int ranks, const char* type = "bf16") {
  return run_of_job("tiny", run) +
         words{"--run.lanes", "4", "--run.threads", "1", "--place.ranks", std::to_string(ranks), "--model.dtype", type};
}

/// A run of one rank in which nothing dies, made once. It is exact: every sampled token has the log-probability that
/// training computes, or it would have stopped.
class Bf16Run : public undisturbed_run<Bf16Run> {
public:
  static words command_of_undisturbed(const fs::path& run) { return arguments(run, 1); }
};

TEST_F(Bf16Run, OnTwoRanksEndsInTheBytesOfOne) {
  const words sharded = {"--place.policy-zero", "3", "--place.critic-zero", "3",
                         "--place.reward-zero", "3", "--place.frozen-zero", "3"};
  const std::vector<words> divisions = {
      sharded,
      sharded + words{"--place.tensor-parallel", "2"},
      {"--place.policy-zero", "1", "--place.critic-zero", "2", "--place.tensor-parallel", "2"}};
  for (size_t i = 0; i < divisions.size(); ++i) {
    SCOPED_TRACE("division " + std::to_string(i));
    const fs::path run = scratch_ / std::to_string(i);
    const program_result result = run_program(arguments(run, 2) + divisions[i]);
    ASSERT_EQ(result.status, 0) << result.output;
    expect_equal_to_undisturbed(run);
  }
}

TEST_F(Bf16Run, IsAnotherThanWithFloat32) {
  const program_result result = run_program(arguments(scratch_ / "f32", 1, "f32"));
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_FALSE(differences_of_runs(undisturbed(), scratch_ / "f32").empty());
}

TEST_F(Bf16Run, KilledAndResumedEndsInTheSameBytes) {
  const fs::path run = scratch_ / "run";
  const words command = arguments(run, 2) + words{"--place.policy-zero", "3", "--recovery.restarts", "100"};
  for (int i = 0; i < 3; ++i) {
    kill_rank_and_supervisor(command, run, scratch_ / "output", 3, 2);
  }
  const program_result last = run_program(command);
  ASSERT_EQ(last.status, 0) << last.output;
  EXPECT_NE(text_of(run / "ledger.jsonl").find("phase_resumed"), std::string::npos);
  expect_equal_to_undisturbed(run);
}

TEST_F(Bf16Run, ReplayComesToItsWeights) {
  const words places = {"--place.ranks", "2", "--place.policy-zero", "3", "--place.critic-zero", "1"};
  expect_verified(run_program(verification_of(copy_of_undisturbed(), places)), 100);
}

TEST_F(Bf16Run, AnotherTypeIsRefusedOnceItHasBegun) {
  const fs::path run = copy_of_undisturbed();
  for (const words& command :
       {arguments(run, 1, "f32"), words{"replay", run.string(), "--verify", "--model.dtype", "f32"}}) {
    const program_result result = run_program(command);
    EXPECT_NE(result.status, 0) << result.output;
    EXPECT_NE(result.output.find("model.dtype"), std::string::npos) << result.output;
  }
  expect_equal_to_undisturbed(run);
}

}  // namespace troupe::test
