// Commands on a card, which the tests emulate behind a module of their own.
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace troupe::test {
namespace {

using words = std::vector<std::string>;

class DeviceOption : public ::testing::Test {
protected:
  DeviceOption() { ::setenv("TROUPE_CUDA_MODULE", TROUPE_MODULE_emulated, 1); }
  ~DeviceOption() override { ::unsetenv("TROUPE_CUDA_MODULE"); }

  static std::string model() { return test_data() + "/stories260k"; }

  /// The line that a filter makes of one.
  nlohmann::json filtered(const std::string& line, const words& arguments) const {
    const program_result result = run_program(arguments, line + "\n");
    EXPECT_EQ(result.status, 0) << result.output;
    const size_t begin = result.output.find('{');  // behind what the log says
    return nlohmann::json::parse(result.output.substr(begin, result.output.find('\n', begin) - begin));
  }
};

/// By the type of the weights.
class DeviceOptionTypes : public DeviceOption, public ::testing::WithParamInterface<const char*> {};

constexpr const char* story = R"({"text": "Once upon a time there was a little dog."})";

TEST_P(DeviceOptionTypes, ScoresAsTheHostDoes) {
  const nlohmann::json host = filtered(story, {"score", model(), "--dtype", GetParam(), "--device", "cpu"});
  const nlohmann::json card = filtered(story, {"score", model(), "--dtype", GetParam(), "--device", "cuda"});
  EXPECT_EQ(card.at("ids"), host.at("ids"));
  ASSERT_EQ(card.at("logprobs").size(), host.at("logprobs").size());
  const double tolerance = std::string(GetParam()) == "bf16" ? 0.15 : 1e-4;
  for (size_t i = 1; i < host.at("logprobs").size(); ++i) {
    EXPECT_NEAR(card["logprobs"][i].get<double>(), host["logprobs"][i].get<double>(), tolerance) << i;
  }
}

TEST_P(DeviceOptionTypes, WhatIsGeneratedHasTheLogProbabilitiesThatScoringGives) {
  const words how = {"--dtype", GetParam(), "--device", "cuda"};
  words generate = {"generate", model(), "--max-new-tokens", "5", "--n", "2", "--temperature", "1"};
  generate.insert(generate.end(), how.begin(), how.end());
  const nlohmann::json made = filtered(R"({"ids": [1, 403, 407]})", generate);
  ASSERT_EQ(made.at("answers").size(), 2U);
  for (const nlohmann::json& answer : made.at("answers")) {
    std::vector<int> ids = {1, 403, 407};
    const auto own = answer.at("ids").get<std::vector<int>>();
    ids.insert(ids.end(), own.begin(), own.end());
    words score = {"score", model()};
    score.insert(score.end(), how.begin(), how.end());
    const nlohmann::json scored = filtered(nlohmann::json({{"ids", ids}}).dump(), score);
    for (size_t i = 0; i < own.size(); ++i) {
      EXPECT_EQ(answer["logprobs"][i], scored["logprobs"][3 + i]) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DeviceOptionTypes, ::testing::Values("f32", "bf16"),
                         [](const auto& info) { return std::string(info.param); });

TEST_F(DeviceOption, EvaluatesAsTheHostDoes) {
  const temporary_folder folder;
  std::ofstream(folder / "data.jsonl") << story << "\n"
                                       << R"({"text": "The dog was happy."})"
                                       << "\n";
  const words command = {"eval", model(), "--data", (folder / "data.jsonl").string(), "--format", "text"};
  words on_card = command, on_host = command;
  on_card.insert(on_card.end(), {"--device", "cuda"});
  on_host.insert(on_host.end(), {"--device", "cpu"});
  const program_result host = run_program(on_host);
  const program_result card = run_program(on_card);
  ASSERT_EQ(card.status, 0) << card.output;
  const double expected = json_output(host.output).at("perplexity").get<double>();
  EXPECT_NEAR(json_output(card.output).at("perplexity").get<double>(), expected, 1e-4 * expected);
}

TEST_F(DeviceOption, ChatsAsTheHostDoes) {
  const words command = {"chat", model(), "--max-new-tokens", "12", "--temperature", "0"};
  words on_host = command;
  on_host.insert(on_host.end(), {"--device", "cpu"});
  const program_result host = run_program(on_host, "Tell me a story\n/quit\n");
  const program_result card = run_program(command, "Tell me a story\n/quit\n");
  EXPECT_EQ(card.status, 0);
  EXPECT_NE(card.output.find("computes on emulated card"), std::string::npos) << card.output;
  EXPECT_NE(card.output.find(host.output), std::string::npos) << card.output << host.output;
  EXPECT_GT(host.output.size(), 10U);
}

TEST_F(DeviceOption, ExperienceIsScoredOnTheHost) {
  const program_result result =
      run_program({"score", model(), "--device", "cuda", "--experience", "here", "--to", "there"});
  EXPECT_EQ(result.status, 2);
  EXPECT_NE(result.output.find("--experience is scored on the host"), std::string::npos) << result.output;
}

TEST_F(DeviceOption, WithoutACardSaysWhyThereIsNone) {
  ::setenv("TROUPE_CUDA_MODULE", "/nowhere/module.so", 1);
  const program_result result = run_program({"score", model(), "--device", "cuda"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.output.find("troupe score: --device cuda: "), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("/nowhere/module.so"), std::string::npos) << result.output;
  EXPECT_EQ(run_program({"score", model()}, "").status, 0);  // auto computes on the host then
  ::setenv("TROUPE_CUDA_MODULE", TROUPE_MODULE_two, 1);      // whose cards do not open
  const program_result closed = run_program({"score", model()}, std::string(story) + "\n");
  EXPECT_EQ(closed.status, 0) << closed.output;
  EXPECT_NE(closed.output.find("computes on the host: "), std::string::npos) << closed.output;
  ::setenv("TROUPE_CUDA_MODULE", TROUPE_MODULE_emulated, 1);
  ::setenv("SLURM_JOB_ID", "7", 1);
  ::setenv("SLURM_JOB_NODELIST", "a", 1);
  ::setenv("SLURM_JOB_CPUS_PER_NODE", "1", 1);
  const program_result not_given = run_program({"score", model()}, std::string(story) + "\n");
  EXPECT_EQ(not_given.status, 0) << not_given.output;
  EXPECT_EQ(not_given.output.find("computes on "), std::string::npos) << not_given.output;
  for (const char* name : {"SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_CPUS_PER_NODE"}) {
    ::unsetenv(name);
  }
  const program_result unknown = run_program({"score", model(), "--device", "tpu"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_NE(unknown.output.find("--device is \"tpu\""), std::string::npos) << unknown.output;
}

}  // namespace
}  // namespace troupe::test
