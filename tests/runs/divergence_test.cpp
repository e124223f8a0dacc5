// Runs that diverge: numbers that are not finite, or too far from where they began, end in one clear error with the
// experience kept, or in a rollback.
#include "actors/models/model_files.hpp"
#include "support/program.hpp"
#include "support/stories.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>

namespace troupe::test {

namespace fs = std::filesystem;

static const std::string small_model = test_data() + "/stories260k";

/// stories260k as a reward model that gives 0 to everything: with a stored head of zeros.
static fs::path indifferent_judge(const fs::path& folder) {
  const actors::model_ptr m = actors::load_model(small_model, actors::head_kind::scalar);
  actors::save_model(*m, m->weights.data(), folder, {});
  return folder;
}

/// A model's folder with one weight that is no number.
static fs::path damage(const fs::path& folder) {
  std::string bytes = text_of(folder / "model.safetensors");
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof(header_size));
  const auto header = nlohmann::json::parse(bytes.substr(8, header_size));
  const uint64_t at = 8 + header_size + header["model.norm.weight"]["data_offsets"][0].get<uint64_t>();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data() + at, &nan, sizeof(nan));
  std::ofstream(folder / "model.safetensors", std::ios::binary) << bytes;
  return folder;
}

static fs::path damaged_model(const fs::path& folder) {
  fs::copy(small_model, folder);
  return damage(folder);
}

/// PPO of a model of which nothing was made before; the reward model is indifferent, unless
/// another is given, so that the lexicon alone rewards.
static program_result run_ppo(const fs::path& run, const words& more, fs::path reward_model = {}) {
  if (reward_model.empty()) {
    reward_model = indifferent_judge(run.string() + "-judge");
  }
  return run_program(run_of_job("tiny", run) + words_of("--run.phases ppo --ppo.ptx-coef 0") +
                     words{"--model.reward", reward_model.string()} + more);
}

static program_result run_sft(const temporary_folder& folder, const words& more) {
  write_stories(folder / "data.jsonl", 60);
  return run_program(run_of_job("tiny", folder / "run") + words_of("--run.phases sft --data.openings.phases sft") +
                     words{"--data.openings.path", (folder / "data.jsonl").string()} + more);
}

/// One line that begins "troupe run: ", the last.
static void expect_one_error(const program_result& result, const std::string& part) {
  EXPECT_EQ(result.status, 1) << result.output;
  const size_t at = result.output.find("troupe run: ");
  ASSERT_NE(at, std::string::npos) << result.output;
  const std::string line = result.output.substr(at);
  EXPECT_NE(line.find(part), std::string::npos) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
}

TEST(Judge, WithoutAStoredHeadIsRefused) {
  const temporary_folder folder;
  const program_result result = run_ppo(folder / "run", {}, small_model);
  EXPECT_EQ(result.status, 2) << result.output;
  EXPECT_NE(result.output.find(small_model + "): this model has no scalar head"), std::string::npos) << result.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "run")) << "before anything starts";
}

TEST(Divergence, DamagedWeightsEndGenerationWithTheirName) {
  const temporary_folder folder;
  const fs::path model = damaged_model(folder / "model");
  expect_one_error(run_ppo(folder / "run", {"--model.policy", model.string()}),
                   "are not finite: the weights have diverged or are damaged");
}

TEST(Divergence, LossThatIsNoNumberEndsFineTuning) {
  const temporary_folder folder;
  const fs::path model = damaged_model(folder / "model");
  expect_one_error(run_sft(folder, {"--model.policy", model.string()}), "is nan: the model has diverged");
  EXPECT_FALSE(fs::exists(folder / "run/models/sft"));
}

TEST(Divergence, RewardThatIsNoNumberKeepsTheExperience) {
  const temporary_folder folder;
  const fs::path model = damage(indifferent_judge(folder / "model"));
  expect_one_error(run_ppo(folder / "run", {"--evaluation.prompts", "0"}, model),
                   "is nan; the experience is kept in experience/iteration-000001.h5");
  const auto shown = run_program({"inspect", (folder / "run/experience/iteration-000001.h5").string()});
  EXPECT_EQ(shown.status, 0) << shown.output;
  EXPECT_FALSE(fs::exists(folder / "run/models/policy"));
}

static const words far_from_the_reference =
    words_of("--ppo.policy-learning-rate 10 --ppo.policy-schedule constant --ppo.max-kl 5");

TEST(Divergence, KlAboveTheLimitStopsWithTheExperienceKept) {
  const temporary_folder folder;
  const program_result result = run_ppo(folder / "run", far_from_the_reference);
  expect_one_error(result, "nats per sequence, above ppo.max-kl = 5; the experience is kept in "
                           "experience/iteration-000002.h5. Lower ppo.policy-learning-rate");
  EXPECT_TRUE(fs::exists(folder / "run/experience/iteration-000002.h5"));
  EXPECT_TRUE(fs::exists(folder / "run/checkpoints/ppo/iteration-000001/manifest.json"));
}

TEST(Divergence, RollbacksAreToldAndLimited) {
  const temporary_folder folder;
  const words arguments = far_from_the_reference + words_of("--ppo.on-divergence rollback --ppo.max-rollbacks 2");
  expect_one_error(run_ppo(folder / "run", arguments), "(after 2 rollbacks: ppo.max-rollbacks)");
  const std::string ledger = text_of(folder / "run/ledger.jsonl");
  const size_t told = count(ledger, "rolled back: the KL");
  EXPECT_EQ(told, 2U) << ledger;
}

/// With a checkpoint after each iteration, a KL found in a rollout is that of a checkpoint's weights. The rollback goes
/// to the one before, where half the learning rate leads elsewhere.
class DivergedCheckpoint : public ::testing::TestWithParam<const char*> {
protected:
  temporary_folder folder_;
  // Without a limit the four iterations have 0, 6, 14 and 17 nats.
  words options_ = words_of("--ppo.policy-learning-rate 1e-3 --ppo.policy-schedule constant --ppo.max-kl 12 "
                            "--ppo.on-divergence rollback --run.lanes 2 --run.threads 1") +
                   words{"--place.ranks", GetParam()};
};

TEST_P(DivergedCheckpoint, IsPassedOver) {
  const program_result result = run_ppo(folder_ / "run", options_);
  EXPECT_EQ(result.status, 0) << result.output;
  const std::string ledger = text_of(folder_ / "run/ledger.jsonl");
  const size_t back = ledger.find("rolled back: the KL");
  ASSERT_NE(back, std::string::npos) << ledger;
  EXPECT_EQ(ledger.find("rolled back", back + 1), std::string::npos) << "once is enough";
  EXPECT_NE(ledger.find("restored checkpoints/ppo/iteration-000001", back), std::string::npos) << ledger;
  const size_t attempt = ledger.find("attempt_started");
  EXPECT_EQ(ledger.find("attempt_started", attempt + 1), std::string::npos) << "a rollback is no new attempt";
  EXPECT_TRUE(fs::exists(folder_ / "run/models/policy"));
  const std::string aside = "experience/iteration-000003.diverged-1.h5";
  EXPECT_NE(ledger.find(aside, back), std::string::npos) << ledger;
  EXPECT_TRUE(fs::exists(folder_ / "run" / aside));
  EXPECT_TRUE(fs::exists(folder_ / "run/experience/iteration-000003.h5")) << "of the iteration that was redone";
}

TEST_P(DivergedCheckpoint, WithNoneBeforeItEndsTheRun) {
  options_.insert(options_.end(), {"--run.keep-checkpoints", "1"});
  expect_one_error(run_ppo(folder_ / "run", options_), "run.keep-checkpoints = 1 has left none before it");
}

INSTANTIATE_TEST_SUITE_P(OnRanks, DivergedCheckpoint, ::testing::Values("1", "2"));

/// How many updates a fine-tuning of one pass makes.
static int64_t updates_of_a_pass(const std::string& weight) {
  const temporary_folder folder;
  const program_result result = run_sft(folder, {"--sft.updates", "0", "--data.openings.weight", weight});
  EXPECT_EQ(result.status, 0) << result.output;
  const std::string metrics = text_of(folder / "run/metrics.jsonl");
  return std::count(metrics.begin(), metrics.end(), '\n') - 1;  // the first is before training
}

TEST(Epoch, CountsASourceByItsWeight) { EXPECT_GE(updates_of_a_pass("2"), 2 * updates_of_a_pass("1")); }

/// An infinite perplexity is a number like another on its way to the supervisor.
TEST(Divergence, LossBeyondAllMeasureIsRecorded) {
  const temporary_folder folder;
  const program_result result =
      run_sft(folder, {"--sft.learning-rate", "10", "--sft.schedule", "constant", "--sft.updates", "20"});
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_NE(text_of(folder / "run/metrics.jsonl").find(R"("held_out/perplexity":null)"), std::string::npos);
}

}  // namespace troupe::test
