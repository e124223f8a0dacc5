// What `troupe plan` says of a rank's memory, against the peaks of real runs: a Llama of random weights, large enough
// to stand out against the program itself.
#include "support/copied_shape.hpp"
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/words.hpp"

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
format = prompt-answer
phases = pairs sft ppo
[data.choices]
path = texts.jsonl
format = pairs
phases = reward
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
[pairs]
reward = happiness
prompts = 16
prompts-per-iteration = 8
samples-per-prompt = 2
[reward]
updates = 3
batch = 8
micro-batch-tokens = 1
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
    copy_shape(folder() / "model", {{"num_hidden_layers", 6},
                                    {"hidden_size", 320},
                                    {"intermediate_size", 1280},
                                    {"num_attention_heads", 5},
                                    {"num_key_value_heads", 5},
                                    {"max_position_embeddings", 8192}});
    fs::copy(test_data() + "/vader/vader_lexicon.txt", folder() / "words.txt");
    std::ofstream texts(folder() / "texts.jsonl");
    for (int i = 0; i < 64; ++i) {
      texts << json{{"prompt", "Once upon a time " + std::to_string(i)},
                    {"answer", " there was a little girl."},
                    {"chosen", " there was a happy girl."},
                    {"rejected", " there was a sad girl."}}
            << "\n";
    }
    texts.close();
    std::ofstream full(folder() / "full.jsonl");  // records as long as the job allows, which is what the plan counts
    for (int i = 0; i < 64; ++i) {
      full << json{{"prompt", "Once upon a time " + std::to_string(i)}, {"answer", std::string(200, 'z')}} << "\n";
    }
    full.close();
    std::ofstream lengthy(folder() / "long.jsonl");  // for thousands of tokens
    const std::string text(8000, 'z');
    for (int i = 0; i < 64; ++i) {
      lengthy << json{{"prompt", std::to_string(i) + text},
                      {"answer", text},
                      {"chosen", "a" + text},
                      {"rejected", "b" + text}}
              << "\n";
    }
    lengthy.close();
    std::ofstream(folder() / "job.ini") << job_text << "model\n";
    // Phases after sft need weights that are stored.
    const program_result made = run_program(arguments("run", "sft", {"--model.initial", "random"}));
    ASSERT_EQ(made.status, 0) << made.output;
    fs::remove_all(folder() / "model");
    fs::rename(folder() / "run/models/sft", folder() / "model");
    fs::remove_all(folder() / "run");
    const program_result judge = run_program(arguments("run", "reward", {}));
    ASSERT_EQ(judge.status, 0) << judge.output;
    fs::rename(folder() / "run/models/reward", folder() / "judge");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static fs::path folder() { return *folder_ / "."; }
  static words arguments(const std::string& command, const std::string& phase, const words& more) {
    return words{command, folder() / "job.ini", "--run.phases", phase, "--run.dir", folder() / "run"} + more;
  }

  static double predicted(const std::string& phase, const words& options) {
    const program_result result = run_program(arguments("plan", phase, options) + words{"--json"});
    EXPECT_EQ(result.status, 0) << result.output;
    return json_output(result.output)["peak_bytes"].get<double>();
  }

  /// The peak of the rank that has the highest.
  static double measured(const std::string& phase, const words& options) {
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

  /// The plan may promise a little more than is used: --mem is asked for by it. Returns what was used, in bytes.
  static double expect_close(const std::string& phase, const words& options) {
    const double plan = predicted(phase, options);
    const double run = measured(phase, options);
    std::string named = phase;
    for (const std::string& word : options) {
      named += " " + word;
    }
    std::printf("%-110s %4.0f MB planned, %4.0f MB measured, %.2f\n", named.c_str(), plan / 1e6, run / 1e6, plan / run);
    EXPECT_GT(plan / run, 0.85) << named;
    EXPECT_LT(plan / run, 1.35) << named;
    return run;
  }

private:
  static inline temporary_folder* folder_ = nullptr;
};

TEST_F(PlanMemory, OfSupervisedTraining) {
  double last = expect_close("sft", {"--place.ranks", "1"});
  for (const char* stage : {"0", "1", "2", "3"}) {
    const double used = expect_close("sft", {"--place.ranks", "2", "--place.policy-zero", stage});
    if (*stage != '0') {
      EXPECT_LT(used, 0.99 * last) << "stage " << stage << " shards what the stage before does not";
    }
    last = used;
  }
  expect_close("sft", {"--place.ranks", "4", "--place.policy-zero", "3"});
}

TEST_F(PlanMemory, WithActivationCheckpointing) {
  const words whole = {"--sft.micro-batch-tokens", "512",      "--data.texts.path", folder() / "full.jsonl",
                       "--length.too-long",        "truncate", "--run.lanes",       "1"};
  words spared = whole;
  spared.insert(spared.end(), {"--run.activation-checkpointing", "true"});
  expect_close("sft", whole);
  expect_close("sft", spared);
}

TEST_F(PlanMemory, OfASequenceThatIsLongerThanAGroup) {
  expect_close("sft", {"--data.texts.path", folder() / "long.jsonl", "--length.max-tokens", "3000", "--length.too-long",
                       "truncate", "--run.lanes", "1", "--run.activation-checkpointing", "true", "--sft.batch", "2",
                       "--sft.updates", "1"});
}

TEST_F(PlanMemory, OfAPairThatIsLongerThanAMicroBatch) {
  expect_close("reward",
               {"--data.choices.path", folder() / "long.jsonl", "--length.max-tokens", "1200", "--length.too-long",
                "truncate", "--run.lanes", "1", "--reward.batch", "2", "--reward.updates", "1"});
}

TEST_F(PlanMemory, OfStepsThatAreLongerThanAGroup) {
  expect_close("pairs", {"--data.texts.path", folder() / "long.jsonl", "--length.max-prompt-tokens", "1000",
                         "--length.max-tokens", "1100", "--length.too-long", "truncate", "--generation.step-tokens",
                         "7000", "--generation.cache-mib", "128", "--pairs.prompts", "8"});
}

TEST_F(PlanMemory, OfAnswersThatAreLongerThanRecords) {
  expect_close("ppo", {"--generation.max-new-tokens", "600", "--ppo.iterations", "1", "--run.lanes", "1"});
}

TEST_F(PlanMemory, OfWeightsInBf16) {
  const words narrow = {"--model.dtype", "bf16"};
  expect_close("sft", narrow);
  for (const char* stage : {"1", "3"}) {
    expect_close("sft", narrow + words{"--place.ranks", "2", "--place.policy-zero", stage});
  }
  const double generating = expect_close("pairs", {});
  EXPECT_LT(expect_close("pairs", narrow), 0.9 * generating);
  const words judged = {"--rewards.learned.kind", "model", "--rewards.learned.model", folder() / "judge"};
  expect_close("ppo", narrow + judged);
  expect_close("ppo", narrow + judged +
                          words{"--place.ranks", "2", "--place.policy-zero", "3", "--place.critic-zero", "3",
                                "--place.frozen-zero", "3", "--place.tensor-parallel", "2"});
}

TEST_F(PlanMemory, OfPairs) {
  expect_close("pairs", {"--place.ranks", "1"});
  expect_close("pairs", {"--place.ranks", "2", "--place.policy-zero", "3"});
}

TEST_F(PlanMemory, OfTheRewardModel) {
  expect_close("reward", {"--place.ranks", "1"});
  expect_close("reward", {"--place.ranks", "2"});
  expect_close("reward", {"--place.ranks", "2", "--place.reward-zero", "3"});
}

TEST_F(PlanMemory, OfPpo) {
  expect_close("ppo", {"--place.ranks", "1"});
  expect_close("ppo", {"--place.ranks", "2"});
  const words sharded = {"--place.ranks",       "2", "--place.policy-zero", "3",
                         "--place.critic-zero", "3", "--place.frozen-zero", "3"};
  expect_close("ppo", sharded);
  words together = sharded;
  together.insert(together.end(), {"--place.tensor-parallel", "2"});
  expect_close("ppo", together);
}

TEST_F(PlanMemory, OfPpoWithAJudge) {
  const words judged = {"--rewards.learned.kind", "model", "--rewards.learned.model", folder() / "judge"};
  expect_close("ppo", judged);
  words placed = judged;
  placed.insert(placed.end(), {"--place.ranks", "2", "--place.policy-ranks", "0", "--place.critic-ranks", "1",
                               "--place.reference-ranks", "1", "--place.reward-ranks", "1"});
  expect_close("ppo", placed);
}

}  // namespace troupe::test
