// Runs that mix stored experience in: to the same bytes on any number of ranks, after kills, and replayed.
#include "io/experience/experience.hpp"
#include "support/metrics_records.hpp"
#include "support/program.hpp"
#include "support/test_data.hpp"
#include "support/undisturbed_run.hpp"
#include "support/verified_replay.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

namespace troupe::test {
namespace {

namespace fs = std::filesystem;
/// An iteration of tiny.ini has 16 answers and makes 4 policy versions.
constexpr int iterations = 4;
const words mixing = {"--experience.mix", "0.25", "--experience.max-staleness", "8"};

words command(const fs::path& run, const words& more = mixing) {
  return run_of_job("tiny", run) +
         words{"--run.lanes", "4", "--run.phases", "ppo", "--model.critic", test_data() + "/stories260k"} +
         words{"--ppo.ptx-coef", "0", "--run.keep-checkpoints", "10"} + words{"--rewards.learned.kind", "lexicon"} +
         words{"--rewards.learned.lexicon", test_data() + "/vader/vader_lexicon.txt"} + more;
}

class MixingRun : public undisturbed_run<MixingRun> {
public:
  static words command_of_undisturbed(const fs::path& run) { return command(run); }

protected:
  static program_result verify(const words& more = {}) { return run_program(verification_of(undisturbed(), more)); }
};

TEST_F(MixingRun, SaysWhatItHasMixedIn) {
  const auto records = records_of(undisturbed(), "ppo");
  ASSERT_EQ(records.size(), static_cast<size_t>(iterations));
  EXPECT_EQ(records.at(1).at("mix/share"), 0.0) << "nothing is stored yet";
  EXPECT_FALSE(records.at(1).contains("mix/ess_share"));
  for (int i = 2; i <= iterations; ++i) {
    const nlohmann::json& record = records.at(i);
    EXPECT_NEAR(record.at("mix/share").get<double>(), 0.25, 0.02) << "5 beside 16";
    const double staleness = record.at("mix/staleness_mean").get<double>();
    EXPECT_GE(staleness, 4) << i;
    EXPECT_LE(staleness, i == 2 ? 4 : 8) << i;
    EXPECT_GT(record.at("mix/ess_share").get<double>(), 0.5);
    EXPECT_LT(record.at("mix/ess_share").get<double>(), 1) << "the policy has moved";
    EXPECT_GT(record.at("mix/behaviour_kl_k3_nats").get<double>(), 0);
    EXPECT_LE(record.at("mix/weight_max").get<double>(), 2);
    EXPECT_GT(record.at("rate/policy_scoring_tokens_per_s").get<double>(), 0);
  }
}

TEST_F(MixingRun, StoresItsOwnAnswersAlone) {
  for (int64_t i = 1; i <= iterations; ++i) {
    const io::experience e =
        io::read_experience(undisturbed() / "experience" / ("iteration-00000" + std::to_string(i) + ".h5"));
    EXPECT_EQ(e.sequences(), 16);
    EXPECT_EQ(e.policy_version, 4 * (i - 1));
  }
}

TEST_F(MixingRun, OnTwoRanksKilledInTheMiddleHasTheSameBytes) {
  const fs::path run = scratch_ / "run";
  const words two = command(run, mixing + words{"--place.ranks", "2"});
  kill_rank_and_supervisor(two, run, scratch_ / "output", 3, 1);  // before the first, and two
  const program_result result = run_program(two);
  ASSERT_EQ(result.status, 0) << result.output;
  expect_equal_to_undisturbed(run);
}

TEST_F(MixingRun, ReplayedComesToItsBytes) {
  expect_verified(verify(), 100);
  expect_verified(verify({"--from-iteration", "2", "--place.ranks", "2"}), 100);
}

TEST_F(MixingRun, ReplayedWithNothingChangedIsTheRun) {
  const fs::path run = scratch_ / "replay";
  const program_result result = run_program({"replay", undisturbed().string(), "--run.dir", run.string()});
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(text_of(run / "models/policy/model.safetensors"),
            text_of(undisturbed() / "models/policy/model.safetensors"));
  EXPECT_EQ(text_of(run / "models/critic/model.safetensors"),
            text_of(undisturbed() / "models/critic/model.safetensors"));
  const auto then = records_of(undisturbed(), "ppo");
  for (const auto& [iteration, record] : records_of(run, "replay")) {
    EXPECT_EQ(record.at("replay/ess_share"), 1.0) << "its own answers";
    EXPECT_EQ(record.at("mix/share"), then.at(iteration).at("mix/share"));
    if (iteration > 1) {
      EXPECT_EQ(record.at("mix/ess_share"), then.at(iteration).at("mix/ess_share"));
      EXPECT_EQ(record.at("mix/staleness_mean"), then.at(iteration).at("mix/staleness_mean"));
    }
  }
}

TEST_F(MixingRun, WhatIfItHadMixedNothingOrMoreInIsAsked) {
  for (const auto& [mix, weights] : std::map<std::string, std::string>{{"0", "truncated"}, {"0.5", "none"}}) {
    const fs::path run = scratch_ / mix;
    const program_result result = run_program({"replay", undisturbed().string(), "--run.dir", run.string(),
                                               "--experience.mix", mix, "--replay.weights", weights});
    ASSERT_EQ(result.status, 0) << result.output;
    EXPECT_NE(text_of(run / "models/policy/model.safetensors"),
              text_of(undisturbed() / "models/policy/model.safetensors"));
    const nlohmann::json last = records_of(run, "replay").at(iterations);
    EXPECT_EQ(last.value("mix/share", 0.0), std::stod(mix));
  }
}

TEST_F(MixingRun, NothingToBeMixedInLeavesARunsBytes) {
  const fs::path plain = scratch_ / "plain";
  const fs::path zero = scratch_ / "zero";
  ASSERT_EQ(run_program(command(plain, {})).status, 0);
  ASSERT_EQ(run_program(command(zero, {"--experience.max-staleness", "8"})).status, 0);
  expect_equal_runs(plain, zero);
  // The first iteration of a run that mixes has nothing to mix in.
  EXPECT_EQ(records_of(plain, "ppo").at(1).at("policy/loss"), records_of(undisturbed(), "ppo").at(1).at("policy/loss"));
  EXPECT_NE(records_of(plain, "ppo").at(2).at("policy/loss"), records_of(undisturbed(), "ppo").at(2).at("policy/loss"));
}

TEST_F(MixingRun, WhereModelsAreIsNoDifference) {
  const words apart = {"--place.policy-ranks",    "0", "--place.critic-ranks", "1",
                       "--place.reference-ranks", "1", "--place.reward-ranks", "1"};
  const words sharded = {"--place.policy-zero", "3", "--place.critic-zero", "2"};
  for (const words& placed : {apart, sharded}) {
    const fs::path run = scratch_ / placed[0];
    const program_result result = run_program(command(run, mixing + words{"--place.ranks", "2"} + placed));
    ASSERT_EQ(result.status, 0) << result.output;
    expect_equal_to_undisturbed(run);
  }
}

TEST_F(MixingRun, AnAlteredFileIsNamed) {
  const fs::path run = scratch_ / "run";
  {
    program troupe(command(run), scratch_ / "output");
    await_records(troupe, run, 3);  // before the first, and two
    troupe.kill();
  }
  for (const fs::path& file : io::experience_files(run / "experience")) {
    std::string bytes = text_of(file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    std::ofstream(file, std::ios::binary) << bytes;
  }
  const program_result result = run_program(command(run, mixing + words{"--recovery.restarts", "0"}));
  EXPECT_EQ(result.status, 1) << result.output;
  EXPECT_NE(result.output.find("/experience/iteration-00000"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("damaged"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace troupe::test
