// Training from stored experience: best-of-n, reward-weighted answers and pairs by reward, from the files of a run, as
// phases of another job.
#include "io/files/mapped_file.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe::test {
namespace {

/// A short PPO run by a rule, whose experience the tests learn from.
class OfflineMethods : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    folder_ = new temporary_folder;
    const program_result result =
        run_program({"run", test_data() + "/jobs/ppo.ini", "--run.dir", sampled().string(), "--ppo.iterations", "3",
                     "--ppo.prompts", "16", "--ppo.samples-per-prompt", "4"});
    ASSERT_EQ(result.status, 0) << result.output;
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::filesystem::path sampled() { return *folder_ / "sampled"; }

  /// Runs a job of one phase on what was sampled.
  program_result learn(const std::string& name, const std::string& phase, const std::string& data) const {
    const auto job = scratch_ / (name + ".ini");
    std::ofstream(job) << "[run]\nphases = " << phase << "\ncheckpoint-every = 2\n[model]\npolicy = " << test_data()
                       << "/stories260k\n[data.stored]\nformat = experience\npath = " << sampled().string()
                       << "/experience\n"
                       << data << "[split]\nsft = 1\nreward = 1\nppo = 0\nheld-out = 0.2\n[" << phase
                       << "]\nupdates = 3\nbatch = 8\nmicro-batch-tokens = 256\nlearning-rate = 1e-3\n";
    return run_program({"run", job.string(), "--run.dir", run_of(name).string()});
  }
  std::filesystem::path run_of(const std::string& name) const { return scratch_ / name; }
  std::string weights_of(const std::string& name) const {
    return io::read_text_file(run_of(name) / "models/sft/model.safetensors");
  }

  temporary_folder scratch_;

private:
  static inline temporary_folder* folder_ = nullptr;
};

TEST_F(OfflineMethods, BestOfN) {
  const program_result result = learn("best", "sft", "best = 1\n");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("answers not chosen"), std::string::npos) << result.output;
  const program_result all = learn("all", "sft", "");
  ASSERT_EQ(all.status, 0) << all.output;
  EXPECT_NE(weights_of("best"), weights_of("all"));
}

TEST_F(OfflineMethods, RewardWeightedWithAnInfiniteTemperatureIsPlainFineTuning) {
  ASSERT_EQ(learn("plain", "sft", "").status, 0);
  ASSERT_EQ(learn("infinite", "sft", "advantage-temperature = inf\n").status, 0);
  ASSERT_EQ(learn("weighted", "sft", "advantage-temperature = 0.3\n").status, 0);
  EXPECT_EQ(weights_of("infinite"), weights_of("plain"));
  EXPECT_NE(weights_of("weighted"), weights_of("plain"));
}

TEST_F(OfflineMethods, PairsByRewardTrainARewardModel) {
  const program_result result = learn("pairs", "reward", "pairs-per-prompt = 0\npair-margin = 0.05\n");
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_NE(result.output.find("chosen answers have"), std::string::npos) << result.output;
  EXPECT_TRUE(std::filesystem::exists(run_of("pairs") / "models/reward/model.safetensors"));
}

TEST_F(OfflineMethods, AnotherTokenizerIsRefusedAtTheStart) {
  const auto job = scratch_ / "other.ini";
  std::ofstream(job) << "[run]\nphases = sft\n[model]\npolicy = " << test_data()
                     << "/tiny/gpt2\n[data.stored]\nformat = experience\npath = " << sampled().string()
                     << "/experience\n[length]\nmax-prompt-tokens = 48\nmax-tokens = 96\n";
  const program_result result = run_program({"run", job.string(), "--run.dir", run_of("other").string()});
  EXPECT_NE(result.status, 0);
  EXPECT_NE(result.output.find("another tokenizer"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace troupe::test
