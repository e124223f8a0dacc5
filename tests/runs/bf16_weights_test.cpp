// Runs whose models compute with weights in bfloat16 and learn in float32 masters: what float32 runs promise, they do.
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe::test {

namespace fs = std::filesystem;
using words = std::vector<std::string>;

static words operator+(words a, const words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

static words arguments(const fs::path& run, int ranks, const char* type = "bf16") {
  return {"run",           test_data() + "/jobs/tiny.ini",
          "--run.dir",     run.string(),
          "--run.lanes",   "4",
          "--run.threads", "1",
          "--place.ranks", std::to_string(ranks),
          "--model.dtype", type};
}

/// A run of one rank in which nothing dies, made once. It is exact: every sampled token has the log-probability that
/// training computes, or it would have stopped.
class Bf16Run : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    folder_ = new temporary_folder;
    const program_result result = run_program(arguments(one_rank(), 1));
    ASSERT_EQ(result.status, 0) << result.output;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static fs::path one_rank() { return *folder_ / "one"; }
  static void expect_equal_to_one_rank(const fs::path& run) {
    for (const std::string& difference : differences_of_runs(one_rank(), run)) {
      ADD_FAILURE() << difference;
    }
  }

  temporary_folder scratch_;

private:
  static inline temporary_folder* folder_ = nullptr;
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
    expect_equal_to_one_rank(run);
  }
}

TEST_F(Bf16Run, IsAnotherThanWithFloat32) {
  const program_result result = run_program(arguments(scratch_ / "f32", 1, "f32"));
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_FALSE(differences_of_runs(one_rank(), scratch_ / "f32").empty());
}

TEST_F(Bf16Run, KilledAndResumedEndsInTheSameBytes) {
  const fs::path run = scratch_ / "run";
  const words command = arguments(run, 2) + words{"--place.policy-zero", "3", "--recovery.restarts", "100"};
  for (int i = 0; i < 3; ++i) {
    program troupe(command, scratch_ / "output");
    await_records(troupe, run, 3);
    if (const pid_t worker = troupe.worker(); worker != 0) {
      ::kill(worker, SIGKILL);  // a rank: the run goes on by itself
    }
    await_records(troupe, run, 2);
    troupe.signal(SIGKILL);  // the supervisor: the same command goes on
    troupe.wait();
  }
  const program_result last = run_program(command);
  ASSERT_EQ(last.status, 0) << last.output;
  EXPECT_NE(text_of(run / "ledger.jsonl").find("phase_resumed"), std::string::npos);
  expect_equal_to_one_rank(run);
}

TEST_F(Bf16Run, ReplayComesToItsWeights) {
  const fs::path run = scratch_ / "copy";
  fs::copy(one_rank(), run, fs::copy_options::recursive);
  const program_result result = run_program({"replay", run.string(), "--verify", "--json", "--place.ranks", "2",
                                             "--place.policy-zero", "3", "--place.critic-zero", "1"});
  EXPECT_EQ(result.status, 0) << result.output;
  const nlohmann::json found = json_output(result.output);
  EXPECT_EQ(found.at("differ"), 0) << result.output;
  EXPECT_GT(found.at("tensors"), 100);
  EXPECT_EQ(found.at("sha256_live"), found.at("sha256_replayed"));
}

TEST_F(Bf16Run, AnotherTypeIsRefusedOnceItHasBegun) {
  const fs::path run = scratch_ / "copy";
  fs::copy(one_rank(), run, fs::copy_options::recursive);
  for (const words& command :
       {arguments(run, 1, "f32"), words{"replay", run.string(), "--verify", "--model.dtype", "f32"}}) {
    const program_result result = run_program(command);
    EXPECT_NE(result.status, 0) << result.output;
    EXPECT_NE(result.output.find("model.dtype"), std::string::npos) << result.output;
  }
  expect_equal_to_one_rank(run);
}

}  // namespace troupe::test
