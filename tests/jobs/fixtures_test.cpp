// score, generate and eval against the reference values of tests/data/tiny.
#include "support/fixture.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <sstream>

namespace troupe::test {

using nlohmann::json;

namespace {

constexpr double log_prob_tolerance = 2e-5;  // docs of the fixtures: float32 against float64

std::string model(const std::string& name) { return test_data() + "/tiny/" + name; }

std::vector<json> run_lines(const std::vector<std::string>& arguments, const std::string& input) {
  const program_result result = run_program(arguments, input);
  EXPECT_EQ(result.status, 0) << result.output;
  std::vector<json> lines;
  std::istringstream text(result.output);
  for (std::string line; std::getline(text, line);) {
    lines.push_back(json::parse(line));
  }
  return lines;
}

/// The rows of an [B, T] array of ids, without those that the mask leaves out.
std::vector<std::vector<int64_t>> rows_of(const fixture& file, const std::string& prefix) {
  const auto ids = file.integers(prefix + "input_ids");
  const auto columns = static_cast<size_t>(file.shape(prefix + "input_ids")[1]);
  const std::vector<int64_t> mask = file.has(prefix + "attention_mask") ? file.integers(prefix + "attention_mask")
                                                                        : std::vector<int64_t>(ids.size(), 1);
  std::vector<std::vector<int64_t>> rows(ids.size() / columns);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (mask[i] != 0) {
      rows[i / columns].push_back(ids[i]);
    }
  }
  return rows;
}

std::string lines_with_ids(const std::vector<std::vector<int64_t>>& rows) {
  std::string text;
  for (const auto& row : rows) {
    text += json{{"ids", row}}.dump() + "\n";
  }
  return text;
}

class EveryFamily : public testing::TestWithParam<const char*> {};

TEST_P(EveryFamily, ScoreGivesTheReferenceLogProbs) {
  const fixture file(std::string("tiny/") + GetParam() + "/fixtures.safetensors");
  const auto rows = rows_of(file, "plain.");
  const auto expected = file.doubles("plain.logprobs");
  const auto lines = run_lines({"score", model(GetParam())}, lines_with_ids(rows));
  ASSERT_EQ(lines.size(), rows.size());
  size_t i = 0;
  for (size_t row = 0; row < rows.size(); ++row) {
    const json& logprobs = lines[row].at("logprobs");
    ASSERT_EQ(logprobs.size(), rows[row].size());
    EXPECT_TRUE(logprobs[0].is_null());
    for (size_t t = 1; t < rows[row].size(); ++t) {
      EXPECT_NEAR(logprobs[t].get<double>(), expected[i++], log_prob_tolerance) << "row " << row << ", token " << t;
    }
  }
  EXPECT_EQ(i, expected.size());
}

TEST_P(EveryFamily, GreedyTokensAreTheReferenceOnes) {
  const fixture file(std::string("tiny/") + GetParam() + "/fixtures.safetensors");
  const auto expected = file.integers("gen.new_tokens");
  const auto logprobs = file.doubles("gen.logprobs");
  const auto length = static_cast<size_t>(file.shape("gen.new_tokens")[1]);
  const auto lines = run_lines(
      {"generate", model(GetParam()), "--temperature", "0", "--ignore-eos", "--max-new-tokens", std::to_string(length)},
      lines_with_ids(rows_of(file, "gen.")));
  ASSERT_EQ(lines.size() * length, expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const json& answer = lines[i / length].at("answers").at(0);
    ASSERT_EQ(answer.at("ids").size(), length);
    EXPECT_EQ(answer["ids"][i % length], expected[i]) << i;
    EXPECT_NEAR(answer.at("logprobs")[i % length].get<double>(), logprobs[i], log_prob_tolerance) << i;
    EXPECT_EQ(answer.at("finish"), "length");
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, EveryFamily,
                         testing::Values("opt", "opt_postln", "gpt2", "llama", "llama3", "qwen2", "qwen3", "phi3",
                                         "gpt_neox", "bloom"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Score, ValueHeadBesideALanguageModelGivesTheReferenceScores) {
  const fixture file("tiny/llama/rlhf.safetensors");
  const auto ids = file.integers("rm.input_ids");
  const auto columns = file.shape("rm.input_ids")[1];
  const auto ends = file.integers("rm.end_index");  // [pairs, (chosen, rejected)]
  const auto pairs = static_cast<int64_t>(ends.size() / 2);
  std::vector<std::vector<int64_t>> rows;  // chosen ones first, as the fixture has them
  for (int64_t row = 0; row < 2 * pairs; ++row) {
    const int64_t end = ends[static_cast<size_t>(row % pairs * 2 + row / pairs)];
    rows.emplace_back(ids.begin() + row * columns, ids.begin() + row * columns + end);
  }
  const auto chosen = file.doubles("rm.chosen_end_score");
  const auto rejected = file.doubles("rm.rejected_end_score");
  const auto lines = run_lines({"score", model("llama")}, lines_with_ids(rows));
  ASSERT_EQ(lines.size(), rows.size());
  for (size_t row = 0; row < rows.size(); ++row) {
    const double expected = row < chosen.size() ? chosen[row] : rejected[row - chosen.size()];
    EXPECT_NEAR(lines[row].at("score").get<double>(), expected, log_prob_tolerance) << row;
    EXPECT_EQ(lines[row].at("logprobs").size(), rows[row].size());
  }
}

TEST(Eval, PairsAreCountedAndEqualAnswersLeftOut) {
  const temporary_folder folder;
  const std::string path = (folder / "pairs.jsonl").string();
  const std::string pair = R"({"prompt": "Hello there", "chosen": " you all", "rejected": " no"})";
  const std::string turned = R"({"prompt": "Hello there", "chosen": " no", "rejected": " you all"})";
  const std::string equal = R"({"prompt": "What is it?", "chosen": " A day", "rejected": " A day"})";
  std::ofstream(path) << pair << "\n" << turned << "\n" << equal << "\n" << pair << "\n";
  const json out = run_lines({"eval", model("llama"), "--data", path, "--format", "pairs"}, "").at(0);
  EXPECT_EQ(out.at("n"), 3);
  EXPECT_EQ(out.at("left_out"), 1);
  // Whichever answer scores higher: the pair counts two times, its turned round form once.
  const double margin = out.at("margin");
  ASSERT_NE(margin, 0.0);
  const double accuracy = margin > 0 ? 2.0 / 3 : 1.0 / 3;
  EXPECT_DOUBLE_EQ(out.at("accuracy"), accuracy);
  EXPECT_NEAR(out.at("chosen_mean").get<double>() - out.at("rejected_mean").get<double>(), margin, 1e-12);
  EXPECT_DOUBLE_EQ(out.at("longer_wins"), 2.0 / 3);
  // The ends of Wilson's interval are the p from which the accuracy is z standard errors sqrt(p (1 - p) / n) away.
  for (const double p : out.at("accuracy_interval").get<std::vector<double>>()) {
    EXPECT_NEAR(std::abs(accuracy - p), 1.959964 * std::sqrt(p * (1 - p) / 3), 1e-9);
  }
}

TEST(Eval, PerplexityIsThatOfTheScoredText) {
  constexpr int eos = 2;  // of tiny/llama's tokenizer
  const temporary_folder folder;
  const std::string path = (folder / "one.jsonl").string();
  std::ofstream(path) << R"({"text": "Hello there"})"
                      << "\n";
  const json out = run_lines({"eval", model("llama"), "--data", path, "--format", "text"}, "").at(0);
  json ids =
      run_lines({"tokenize", model("llama"), "--add-special-tokens"}, "{\"text\": \"Hello there\"}\n").at(0)["ids"];
  ids.push_back(eos);  // a whole text is learned to its end token
  double sum = 0;
  const json scored = run_lines({"score", model("llama")}, json{{"ids", ids}}.dump() + "\n").at(0);
  for (size_t t = 1; t < scored["logprobs"].size(); ++t) {
    sum -= scored["logprobs"][t].get<double>();
  }
  ASSERT_EQ(out["tokens"], scored["logprobs"].size() - 1);
  EXPECT_NEAR(out.at("perplexity").get<double>(), std::exp(sum / out["tokens"].get<double>()), 1e-3);
  EXPECT_TRUE(out.at("perplexity_interval").is_null());  // one record
}

TEST(Chat, AMessageThatCannotBeReadSpoilsNoLaterTurn) {
  const std::string stories = test_data() + "/stories260k";
  const std::vector<std::string> call = {"chat", stories, "--max-new-tokens", "8", "--temperature", "0"};
  const program_result clean = run_program(call, "Hello\n");
  const program_result after = run_program(call, "bad \xff\nHello\n");
  EXPECT_EQ(after.status, 0);
  EXPECT_NE(after.output.find("not UTF-8"), std::string::npos) << after.output;
  EXPECT_TRUE(after.output.ends_with(clean.output)) << after.output;
}

}  // namespace

}  // namespace troupe::test
