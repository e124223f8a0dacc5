// troupe plan, on the recipes: models that nobody has here are only arithmetic.
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace troupe::test {

using nlohmann::json;

static const std::filesystem::path recipes = source_tree() / "jobs/recipes";

static json plan(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "plan");
  arguments.emplace_back("--json");
  const program_result result = run_program(arguments);
  EXPECT_EQ(result.status, 0) << result.output;
  return json_output(result.output);
}

static const json& phase(const json& all, const std::string& name) {
  for (const json& one : all["phases"]) {
    if (one["phase"] == name) {
      return one;
    }
  }
  throw std::runtime_error("no phase " + name);
}

TEST(Plan, PublishedParameterCounts) {
  const struct {
    const char* recipe;
    int64_t policy;
  } known[] = {{"opt-1.3b.ini", 1315758080}, {"opt-13b.ini", 12853473280}, {"opt-66b.ini", 65719701504}};
  for (const auto& [recipe, policy] : known) {
    const json all = plan({recipes / recipe});
    EXPECT_EQ(phase(all, "ppo")["parameters"]["policy"], policy) << recipe;
    // 331,196,416 of the language model, and the head's 512.
    EXPECT_EQ(phase(all, "reward")["parameters"]["reward model"], 331196928) << recipe;
  }
}

TEST(Plan, RanksThatGenerateTogetherShareWeightsAndCache) {
  const auto memory = [](std::vector<std::string> more) {
    std::vector<std::string> all = {recipes / "opt-13b.ini", "--place.ranks", "8", "--generation.cache-mib", "1000000"};
    all.insert(all.end(), more.begin(), more.end());
    return phase(plan(all), "ppo")["memory_bytes"];
  };
  const json alone = memory({});
  const json together = memory({"--place.tensor-parallel", "4"});
  EXPECT_FALSE(alone.contains("policy weights to generate"));
  // A quarter of each sequence's, of four times as many sequences.
  EXPECT_EQ(together["keys and values"], alone["keys and values"]);
  const auto part = together["policy weights to generate"].get<double>() / together["policy weights"].get<double>();
  EXPECT_GT(part, 0.25);
  EXPECT_LT(part, 0.28);  // embeddings are whole on every rank
}

TEST(Plan, ModelsWithRanksOfTheirOwn) {
  const json all =
      plan({recipes / "opt-13b.ini", "--place.ranks", "8", "--place.policy-zero", "3", "--place.policy-ranks", "0-3",
            "--place.critic-ranks", "4-5", "--place.reference-ranks", "4-7", "--place.reward-ranks", "6-7"});
  const json& ppo = phase(all, "ppo");
  ASSERT_EQ(ppo["ranks"].size(), 3U);
  EXPECT_EQ(ppo["ranks"][0]["ranks"], json({0, 1, 2, 3}));
  EXPECT_EQ(ppo["ranks"][0]["bytes"], ppo["peak_bytes"]);
  EXPECT_TRUE(ppo["memory_bytes"].contains("policy moments"));
  EXPECT_FALSE(ppo["memory_bytes"].contains("critic moments"));
  EXPECT_FALSE(ppo["memory_bytes"].contains("reference weights"));
  EXPECT_EQ(ppo["ranks"][1]["ranks"], json({4, 5}));  // the critic learns
  EXPECT_EQ(ppo["ranks"][2]["ranks"], json({6, 7}));
  const json everywhere = plan({recipes / "opt-13b.ini", "--place.ranks", "8", "--place.policy-zero", "3"});
  EXPECT_EQ(phase(everywhere, "ppo")["ranks"].size(), 1U);
  // Shards of four ranks are larger than those of eight.
  EXPECT_GT(ppo["memory_bytes"]["policy moments"], phase(everywhere, "ppo")["memory_bytes"]["policy moments"]);
}

TEST(Plan, WhatIsNotHeldAtTheSameTimeCountsOnce) {
  const json ppo = phase(plan({recipes / "opt-13b.ini", "--place.ranks", "8", "--place.policy-zero", "3"}), "ppo");
  const json& bytes = ppo["memory_bytes"];
  int64_t sum = 0;
  for (const json& one : bytes) {
    sum += one.get<int64_t>();
  }
  const int64_t rollout = bytes["policy weights to generate"].get<int64_t>() + bytes["keys and values"].get<int64_t>();
  const int64_t update = bytes["policy gradients of a lane"].get<int64_t>() + bytes["policy reductions"].get<int64_t>();
  const auto saving = bytes["model that is saved"].get<int64_t>();
  const auto critic = bytes["critic reductions"].get<int64_t>();
  EXPECT_EQ(ppo["peak_bytes"].get<int64_t>(),
            sum - rollout - update - saving - critic + std::max({rollout, update, saving, critic}));
}

TEST(Plan, PeakIsTheSumOfTheLargestPhase) {
  const json all = plan({recipes / "demo.ini"});
  int64_t peak = 0;
  for (const json& one : all["phases"]) {
    const json& memory = one["memory_bytes"];
    int64_t sum =
        -std::min(memory.value("keys and values", int64_t{0}), memory.value("model that is saved", int64_t{0}));
    for (const json& bytes : memory) {
      sum += bytes.get<int64_t>();
    }
    EXPECT_EQ(sum, one["peak_bytes"]);
    peak = std::max(peak, sum);
  }
  EXPECT_EQ(all["peak_bytes"], peak);
}

TEST(Plan, OverridesCount) {
  const json without = plan({recipes / "opt-1.3b.ini", "--run.activation-checkpointing", "false"});
  const json with = plan({recipes / "opt-1.3b.ini"});
  EXPECT_GT(phase(without, "sft")["peak_bytes"], phase(with, "sft")["peak_bytes"]);
  EXPECT_LT(phase(without, "sft")["flops_each"], phase(with, "sft")["flops_each"]);
}

TEST(Plan, DiskIsThatOfAFinishedRun) {
  const temporary_folder folder;
  const std::string job = test_data() + "/jobs/tiny.ini";
  const json all = plan({job});
  const program_result run = run_program({"run", job, "--run.dir", folder / "run"});
  ASSERT_EQ(run.status, 0) << run.output;
  uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "run")) {
    bytes += entry.is_regular_file() ? entry.file_size() : 0;
  }
  const double ratio = all["disk_bytes"].get<double>() / static_cast<double>(bytes);
  // The plan has a best checkpoint of its own for each phase, and one that
  // is being written; here the best are the last.
  EXPECT_GE(ratio, 1.0) << bytes;
  EXPECT_LT(ratio, 1.8) << bytes;
}

TEST(Plan, DiskKeepsCheckpointsOfFinishedPhasesAndAllEvaluations) {
  const std::string job = test_data() + "/jobs/tiny.ini";
  const auto disk = [&](std::vector<std::string> more) {
    more.insert(more.begin(), job);
    return plan(more)["disk_bytes"].get<int64_t>();
  };
  // One more of each phase that learns: weights and moments of the policy,
  // of the reward model, of both and the average.
  const int64_t policy = 260032;  // tests/data/stories260k
  const int64_t scalar = phase(plan({job}), "reward")["parameters"]["reward model"];
  EXPECT_EQ(disk({"--run.keep-checkpoints", "3"}) - disk({"--run.keep-checkpoints", "2"}),
            4 * (3 * policy + 3 * scalar + 3 * policy + 3 * scalar + policy));
  // Evaluations come before, and after 2 and 4 iterations; or before and after each.
  const int64_t three = disk({}) - disk({"--evaluation.prompts", "0"});
  const int64_t five =
      disk({"--ppo.evaluate-every", "1"}) - disk({"--ppo.evaluate-every", "1", "--evaluation.prompts", "0"});
  EXPECT_GT(three, 0);
  EXPECT_EQ(3 * five, 5 * three);
}

TEST(Plan, MixtureTrainingIsWork) {
  const std::string job = test_data() + "/jobs/tiny.ini";
  const auto flops = [&](std::vector<std::string> more) {
    more.insert(more.begin(), job);
    return phase(plan(more), "ppo")["flops_each"].get<double>();
  };
  const double none = flops({"--ppo.ptx-coef", "0"});
  const double small = flops({"--ppo.ptx-batch", "2"}) - none;
  const double large = flops({"--ppo.ptx-batch", "6"}) - none;
  EXPECT_GT(small, 0);
  EXPECT_NEAR(large, 3 * small, 1e-6 * none);
}

TEST(Plan, WarnsWhereTheMachineIsTooSmall) {
  const program_result result = run_program({"plan", recipes / "opt-66b.ini"});
  EXPECT_EQ(result.status, 0);
  EXPECT_NE(result.output.find("does not fit here"), std::string::npos) << result.output;
}

static words ppo_of_13_billion() {
  return {
      recipes / "opt-13b.ini", "--run.phases", "ppo", "--model.reward", recipes / "opt-350m", "--model.dtype", "bf16",
      "--place.device",        "cuda"};
}

/// A policy of 13 billion parameters on one card of 80 GiB and 256 GiB of its host, in bfloat16: its weights take 26 GB
/// of the card, and of gradients and of the reference there are segments alone; learning takes 206 GB of the host, and
/// the reference 26.
TEST(Plan, PpoOf13BillionFitsOneCard) {
  const words on_card = ppo_of_13_billion() + words{"--place.optimizer", "host", "--place.frozen", "host",
                                                    "--device-gib",      "80",   "--host-gib",     "256"};
  const words fitting = on_card + words{"--run.checkpoint-copy", "false", "--ppo.ema-decay", "0"};
  const json all = plan(fitting);
  const json& ppo = phase(all, "ppo");
  constexpr double policy = 12853473280;
  constexpr double block = 12.0 * 5120 * 5120, table = 50272.0 * 5120 + 2050 * 5120;
  EXPECT_NEAR(ppo["card_memory_bytes"]["policy weights"].get<double>(), 2 * policy, 1e7);
  EXPECT_NEAR(ppo["card_memory_bytes"]["reference weights in flight"].get<double>(), 2 * 2 * block, 1e7);
  EXPECT_NEAR(ppo["card_memory_bytes"]["policy gradients in flight"].get<double>(), 4 * (table + 2 * block), 2e7);
  EXPECT_NEAR(ppo["memory_bytes"]["policy gradients on their way"].get<double>(), 4 * 3 * block, 2e7);
  EXPECT_NEAR(ppo["memory_bytes"]["policy moments"].get<double>(), 8 * policy, 4e7);
  EXPECT_NEAR(ppo["memory_bytes"]["reference weights"].get<double>(), 2 * policy, 1e7);
  EXPECT_LE(all["card_peak_bytes"], 80LL << 30);
  EXPECT_LE(all["peak_bytes"], 256LL << 30);
  EXPECT_EQ(all["card_bytes"], 80LL << 30);
  EXPECT_EQ(all["machine_bytes"], 256LL << 30);
  EXPECT_FALSE(all.contains("seconds")) << "nobody knows how fast a card is";
  const auto text_of = [](const words& options) { return run_program(words{"plan"} + options).output; };
  EXPECT_EQ(text_of(fitting).find("does not fit"), std::string::npos) << text_of(fitting);
  const std::string more = text_of(on_card);
  EXPECT_EQ(more.find("does not fit the card"), std::string::npos) << more;
  EXPECT_NE(more.find("troupe plan: it does not fit the host's memory, 274.88 GB for a rank: "), std::string::npos);
  EXPECT_NE(more.find("run.checkpoint-copy = false"), std::string::npos) << more;
}

/// And one of 6.7 billion with 128 GiB.
TEST(Plan, PpoOf6Point7BillionFitsASmallerHost) {
  const words options = ppo_of_13_billion() + words{"--model.policy",  "opt-6.7b", "--place.optimizer",     "host",
                                                    "--place.frozen",  "host",     "--run.checkpoint-copy", "false",
                                                    "--ppo.ema-decay", "0",        "--device-gib",          "80",
                                                    "--host-gib",      "128"};
  const json all = plan(options);
  EXPECT_LE(all["card_peak_bytes"], 80LL << 30);
  EXPECT_LE(all["peak_bytes"], 128LL << 30);
  const std::string text = run_program(words{"plan"} + options).output;
  EXPECT_EQ(text.find("does not fit"), std::string::npos) << text;
}

/// What is named for a smaller card suffices there.
TEST(Plan, PpoOf13BillionOnASmallerCardIsToldWhatToSet) {
  const words small = ppo_of_13_billion() + words{"--device-gib", "48"};
  const std::string text = run_program(words{"plan"} + small).output;
  EXPECT_NE(text.find("troupe plan: it does not fit the card, which has 51.54 GB: ppo needs "), std::string::npos);
  const size_t remedy = text.find("It would with ");
  ASSERT_NE(remedy, std::string::npos) << text;
  const std::string options = text.substr(remedy + 14, text.find('\n', remedy) - remedy - 15);
  EXPECT_NE(options.find("--place.frozen host"), std::string::npos) << options;
  EXPECT_NE(options.find("--place.optimizer host"), std::string::npos) << options;
  EXPECT_LE(plan(small + words_of(options))["card_peak_bytes"], 48LL << 30) << options;
}

TEST(Plan, ACardsMemoryIsNamedForJobsThatRunOnOne) {
  const program_result refused =
      run_program({"plan", recipes / "demo.ini", "--place.device", "cpu", "--device-gib", "80"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.output.find("--device-gib: this job does not run on cards: give --place.device cuda too"),
            std::string::npos)
      << refused.output;
  EXPECT_TRUE(plan({recipes / "demo.ini", "--device-gib", "80"}).contains("card_peak_bytes"));
  EXPECT_FALSE(plan({recipes / "demo.ini"}).contains("card_peak_bytes"));
  const program_result host = run_program({"plan", recipes / "demo.ini", "--host-gib", "0.01"});
  EXPECT_NE(host.output.find("are needed, a rank has 10.7 MB"), std::string::npos) << host.output;
}

TEST(Plan, RecipesOfPublishedModelsCanStart) {
  for (const char* recipe : {"opt-1.3b.ini", "opt-13b.ini", "opt-66b.ini"}) {
    const program_result result = run_program({"plan", recipes / recipe});
    EXPECT_EQ(result.status, 0) << result.output;
  }
}

TEST(Plan, ACacheTooSmallIsRefusedInTheSameWordsByAllWhoStartAJob) {
  const temporary_folder folder;
  std::filesystem::copy(test_data() + "/stories260k", folder / "model");
  std::ifstream written(folder / "model/config.json");
  json config = json::parse(written);
  config["max_position_embeddings"] = 8192;
  std::ofstream(folder / "model/config.json") << config;
  std::ofstream(folder / "data.jsonl") << R"({"prompt": "a", "answer": "b"})"
                                       << "\n";
  std::ofstream(folder / "words.txt") << "happy\t2.7\n";
  std::ofstream(folder / "job.ini") << R"([run]
phases = ppo
[model]
policy = model
[data.a]
path = data.jsonl
[length]
max-prompt-tokens = 4096
max-tokens = 8192
[generation]
max-new-tokens = 4096
cache-mib = 1
[rewards.happy]
kind = lexicon
lexicon = words.txt
)";
  const auto misfit = [&](const std::string& command) {
    const program_result result = run_program({command, folder / "job.ini", "--run.dir", folder / "run"});
    EXPECT_EQ(result.status, 2) << command << ": " << result.output;
    EXPECT_FALSE(std::filesystem::exists(folder / "run")) << command << " leaves nothing behind";
    const size_t at = result.output.find("the job does not fit what it names");
    EXPECT_NE(at, std::string::npos) << command << ": " << result.output;
    return at == std::string::npos ? "" : result.output.substr(at);
  };
  const std::string planned = misfit("plan");
  EXPECT_NE(planned.find("generation.cache-mib = 1 holds"), std::string::npos) << planned;
  EXPECT_NE(planned.find("give at least "), std::string::npos) << planned;
  EXPECT_EQ(misfit("run"), planned);
  EXPECT_EQ(misfit("submit"), planned);
}

TEST(Plan, MissingModelNamesKeyAndFile) {
  const temporary_folder folder;
  std::ofstream(folder / "job.ini") << "[run]\nphases = sft\n[model]\npolicy = nowhere\n[data.a]\npath = a.jsonl\n";
  const program_result result = run_program({"plan", folder / "job.ini"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("model.policy"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("nowhere: there is no such folder"), std::string::npos) << result.output;
}

TEST(Plan, BadRateIsRefused) {
  for (const char* rate : {"0", "-3", "fast", "5x"}) {
    const program_result result = run_program({"plan", recipes / "demo.ini", "--gflops", rate});
    EXPECT_EQ(result.status, 2) << rate;
    EXPECT_NE(result.output.find("--gflops"), std::string::npos) << result.output;
  }
}

}  // namespace troupe::test
