// What `troupe plan` says of a rank's memory, against the peaks of real runs: a Llama of random weights, large enough to
// stand out against the program itself.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace troupe::test {

namespace fs = std::filesystem;
using nlohmann::json;

/// VmHWM; 0 where the process has gone.
static int64_t peak_of(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) {
      return std::atoll(line.c_str() + 6) * 1024;
    }
  }
  return 0;
}

constexpr const char* job_text = R"(
[run]
lanes = 4
threads = 1
checkpoint-every = 1
[data.texts]
path = texts.jsonl
[split]
held-out = 0
[evaluation]
prompts = 0
records = 0
[length]
max-prompt-tokens = 32
max-tokens = 64
[generation]
max-new-tokens = 32
[rewards.happiness]
kind = lexicon
lexicon = words.txt
[sft]
updates = 3
batch = 8
micro-batch-tokens = 1
[reward]
updates = 1
[ppo]
iterations = 2
prompts = 8
micro-batch-tokens = 64
[model]
policy = )";

class PlanMemory : public ::testing::Test {
protected:
  /// A folder with a model, its data and the job.
  static void SetUpTestSuite() {
    folder_ = new temporary_folder;
    const fs::path data = TROUPE_TEST_DATA;
    fs::copy(data / "stories260k", folder() / "shape");
    fs::remove(folder() / "shape/model.safetensors");
    json config = json::parse(text_of(folder() / "shape/config.json"));
    config.update({{"num_hidden_layers", 6},
                   {"hidden_size", 320},
                   {"intermediate_size", 1280},
                   {"num_attention_heads", 5},
                   {"num_key_value_heads", 5}});
    std::ofstream(folder() / "shape/config.json") << config;
    fs::copy(data / "vader/vader_lexicon.txt", folder() / "words.txt");
    std::ofstream texts(folder() / "texts.jsonl");
    for (int i = 0; i < 64; ++i) {
      texts << json{{"prompt", "Once upon a time " + std::to_string(i)}, {"answer", " there was a little girl."}}
            << "\n";
    }
    texts.close();
    std::ofstream(folder() / "job.ini") << job_text << "model\n";
    // Phases after sft need weights that are stored.
    fs::rename(folder() / "shape", folder() / "model");
    const program_result made = run_program(arguments("run", "sft", {"--model.initial", "random"}));
    ASSERT_EQ(made.status, 0) << made.output;
    fs::remove_all(folder() / "model");
    fs::rename(folder() / "run/models/sft", folder() / "model");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static fs::path folder() { return *folder_ / "."; }
  static std::vector<std::string> arguments(const std::string& command, const std::string& phase,
                                            const std::vector<std::string>& more) {
    std::vector<std::string> all = {command, folder() / "job.ini", "--run.phases",
                                    phase,   "--run.dir",          folder() / "run"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  static double predicted(const std::string& phase, const std::vector<std::string>& options) {
    std::vector<std::string> all = arguments("plan", phase, options);
    all.emplace_back("--json");
    const program_result result = run_program(all);
    EXPECT_EQ(result.status, 0) << result.output;
    return json::parse(result.output)["peak_bytes"].get<double>();
  }

  /// The peak of the rank that has the highest.
  static double measured(const std::string& phase, const std::vector<std::string>& options) {
    fs::remove_all(folder() / "run");
    program run(arguments("run", phase, options), folder() / "log");
    int64_t highest = 0;
    while (run.running()) {
      for (const pid_t worker : run.workers()) {
        highest = std::max(highest, peak_of(worker));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const std::string log = text_of(folder() / "log");
    EXPECT_EQ(run.wait(), 0) << log.substr(log.size() - std::min<size_t>(log.size(), 1000));
    return static_cast<double>(highest);
  }

  /// The plan may promise a little more than is used: --mem is asked for by it.
  static void expect_close(const std::string& phase, const std::vector<std::string>& options) {
    const double plan = predicted(phase, options);
    const double run = measured(phase, options);
    std::string named = phase;
    for (const std::string& word : options) {
      named += " " + word;
    }
    std::printf("%-110s %4.0f MB planned, %4.0f MB measured, %.2f\n", named.c_str(), plan / 1e6, run / 1e6, plan / run);
    EXPECT_GT(plan / run, 0.85) << named;
    EXPECT_LT(plan / run, 1.35) << named;
  }

private:
  static inline temporary_folder* folder_ = nullptr;
};

TEST_F(PlanMemory, OfSupervisedTraining) {
  expect_close("sft", {"--place.ranks", "1"});
  for (const char* stage : {"0", "1", "2", "3"}) {
    expect_close("sft", {"--place.ranks", "2", "--place.policy-zero", stage});
  }
  expect_close("sft", {"--place.ranks", "4", "--place.policy-zero", "3"});
}

TEST_F(PlanMemory, OfPpo) {
  expect_close("ppo", {"--place.ranks", "1"});
  expect_close("ppo", {"--place.ranks", "2"});
  const std::vector<std::string> sharded = {"--place.ranks",       "2", "--place.policy-zero", "3",
                                            "--place.critic-zero", "3", "--place.frozen-zero", "3"};
  expect_close("ppo", sharded);
  std::vector<std::string> together = sharded;
  together.insert(together.end(), {"--place.tensor-parallel", "2"});
  expect_close("ppo", together);
}

}  // namespace troupe::test
