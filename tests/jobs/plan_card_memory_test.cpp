// What `troupe plan` says of a rank's card, which may be a little more than is used, against the most that runs have of
// one that the tests emulate: a Llama of random weights. Pages are small there, so that what they leave unfilled does
// not count.
#include "support/copied_shape.hpp"
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace troupe::test {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* job_text = R"(
[run]
threads = 1
activation-checkpointing = false
[data.texts]
path = texts.jsonl
format = prompt-answer
[split]
held-out = 0
[evaluation]
prompts = 0
records = 0
[length]
max-prompt-tokens = 32
max-tokens = 64
too-long = truncate
[generation]
max-new-tokens = 32
step-tokens = 64
cache-mib = 1
[rewards.happiness]
kind = lexicon
lexicon = words.txt
[sft]
updates = 1
batch = 4
micro-batch-tokens = 64
[ppo]
iterations = 1
prompts = 2
micro-batch-tokens = 64
[model]
policy = model
)";

class PlanCardMemory : public ::testing::Test {
protected:
  /// A folder with a model, its data and the job.
  static void SetUpTestSuite() {
    folder_ = new temporary_folder;
    copy_shape(folder() / "model", {{"num_hidden_layers", 4},
                                    {"hidden_size", 128},
                                    {"intermediate_size", 512},
                                    {"num_attention_heads", 4},
                                    {"num_key_value_heads", 4}});
    fs::copy(test_data() + "/vader/vader_lexicon.txt", folder() / "words.txt");
    std::ofstream texts(folder() / "texts.jsonl");  // as long as the job allows, which is what the plan counts
    for (int i = 0; i < 16; ++i) {
      texts << json{{"prompt",
                     "Once upon a time there was a little girl and " + std::to_string(i) + std::string(60, 'y')},
                    {"answer", std::string(200, 'z')}}
            << "\n";
    }
    texts.close();
    std::ofstream(folder() / "job.ini") << job_text;
    const program_result made = run_program(arguments("run", "sft", {"--model.initial", "random"}));
    ASSERT_EQ(made.status, 0) << made.output;
    fs::remove_all(folder() / "model");
    fs::rename(folder() / "run/models/sft", folder() / "model");
    ::setenv("TROUPE_CUDA_MODULE", TROUPE_MODULE_emulated, 1);
    ::setenv("TROUPE_EMULATED_PEAK", (folder() / "peak").c_str(), 1);
  }
  static void TearDownTestSuite() {
    ::unsetenv("TROUPE_CUDA_MODULE");
    ::unsetenv("TROUPE_EMULATED_PEAK");
    delete folder_;
    folder_ = nullptr;
  }
  static fs::path folder() { return folder_->path(); }
  static words arguments(const std::string& command, const std::string& phase, const words& more) {
    return words{command, folder() / "job.ini", "--run.phases", phase, "--run.dir", folder() / "run"} + more;
  }

  /// Bytes of the card: planned, and the most that were mapped at a time.
  static void expect_close(const std::string& phase, words options) {
    options = options + words{"--place.device", "cuda"};
    const words planned = arguments("plan", phase, options) + words{"--json"};
    const double plan = json_output(run_program(planned).output)["card_peak_bytes"].get<double>();
    fs::remove_all(folder() / "run");
    fs::remove(folder() / "peak");
    const program_result run = run_program(arguments("run", phase, options));
    ASSERT_EQ(run.status, 0) << run.output;
    std::ifstream told(folder() / "peak");
    double peak = 0;
    ASSERT_TRUE(told >> peak);
    std::printf("%-4s %-4s %6.2f MB planned, %6.2f MB mapped, %.3f\n", phase.c_str(), options[1].c_str(), plan / 1e6,
                peak / 1e6, plan / peak);
    EXPECT_GT(plan / peak, 0.97) << text_of(folder() / "peak");
    EXPECT_LT(plan / peak, 1.1) << text_of(folder() / "peak");
  }

private:
  static inline temporary_folder* folder_ = nullptr;
};

TEST_F(PlanCardMemory, OfSupervisedTraining) {
  expect_close("sft", {"--place.optimizer", "card", "--model.dtype", "bf16"});
  expect_close("sft", {"--place.optimizer", "host", "--model.dtype", "f32"});
  expect_close("sft", {"--place.optimizer", "host", "--model.dtype", "bf16"});
}

TEST_F(PlanCardMemory, OfPpo) {
  for (const char* where : {"card", "host"}) {
    expect_close("ppo", {"--place.optimizer", where, "--place.frozen", where, "--model.dtype", "bf16"});
  }
}

}  // namespace troupe::test
