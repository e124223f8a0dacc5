// troupe plan, on the recipes: models that nobody has here are only arithmetic.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace troupe::test {

using nlohmann::json;

static const std::filesystem::path recipes =
    std::filesystem::path(TROUPE_TEST_DATA).parent_path().parent_path() / "jobs/recipes";

/// The JSON line of the output: a warning may stand beside it.
static json plan(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "plan");
  arguments.emplace_back("--json");
  const program_result result = run_program(arguments);
  EXPECT_EQ(result.status, 0) << result.output;
  const size_t begin = result.output.find('{');
  const size_t end = result.output.rfind('}');
  return begin == std::string::npos ? json() : json::parse(result.output.substr(begin, end - begin + 1));
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
  EXPECT_EQ(together["keys and values"].get<int64_t>() * 4, alone["keys and values"].get<int64_t>());
  const auto part = together["policy weights to generate"].get<double>() / together["policy weights"].get<double>();
  EXPECT_GT(part, 0.25);
  EXPECT_LT(part, 0.28);  // embeddings are whole on every rank
}

TEST(Plan, PeakIsTheSumOfTheLargestPhase) {
  const json all = plan({recipes / "demo.ini"});
  int64_t peak = 0;
  for (const json& one : all["phases"]) {
    int64_t sum = 0;
    for (const json& bytes : one["memory_bytes"]) {
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

TEST(Plan, WarnsWhereTheMachineIsTooSmall) {
  const program_result result = run_program({"plan", recipes / "opt-66b.ini"});
  EXPECT_EQ(result.status, 0);
  EXPECT_NE(result.output.find("does not fit here"), std::string::npos) << result.output;
}

TEST(Plan, MissingModelNamesKeyAndFile) {
  const temporary_folder folder;
  std::ofstream(folder / "job.ini") << "[run]\nphases = sft\n[model]\npolicy = nowhere\n[data.a]\npath = a.jsonl\n";
  const program_result result = run_program({"plan", folder / "job.ini"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("model.policy"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("nowhere/config.json"), std::string::npos) << result.output;
}

TEST(Plan, BadRateIsRefused) {
  for (const char* rate : {"0", "-3", "fast", "5x"}) {
    const program_result result = run_program({"plan", recipes / "demo.ini", "--gflops", rate});
    EXPECT_EQ(result.status, 1) << rate;
    EXPECT_NE(result.output.find("--gflops"), std::string::npos) << result.output;
  }
}

}  // namespace troupe::test
