// Which tokens end answers and go around the records of data sets, by what model and tokenizer say.
#include "actors/models/special_tokens.hpp"
#include "support/piece_tokenizer.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

/// A tiny model that says of its end tokens what these texts say.
model_ptr model_with(const std::string& config, const std::string& generation_config) {
  auto m = load_model(test_data() + "/tiny/gpt2", head_kind::language_model);
  m->config_json = config;
  m->generation_config_json = generation_config;
  return m;
}

using ids = std::vector<int32_t>;

TEST(SpecialTokens, EndTokensAreThoseOfTheGenerationConfigFirst) {
  EXPECT_EQ(end_tokens_of(*model_with(R"({"eos_token_id": 3})", R"({"eos_token_id": [9, 5, 9]})")), (ids{5, 9}));
  EXPECT_EQ(end_tokens_of(*model_with(R"({"eos_token_id": 3})", R"({"pad_token_id": 1})")), (ids{3}));
  EXPECT_EQ(end_tokens_of(*model_with(R"({"eos_token_id": 3})", "")), (ids{3}));
  EXPECT_EQ(end_tokens_of(*model_with("{}", "")), ids{});
}

TEST(SpecialTokens, EndTokensThatTheModelCannotSayAreLeftOut) {
  const model_ptr m = model_with(R"({"eos_token_id": [-1, 4, 1000000]})", "");
  EXPECT_EQ(end_tokens_of(*m), (ids{4}));
}

TEST(SpecialTokens, AnswersStopAtTheTokenizersEndToo) {
  const model_ptr m = model_with(R"({"eos_token_id": 3})", "");
  const test::piece_tokenizer with_end({"a", "b", "</s>"}, {.eos = 2});
  const test::piece_tokenizer without({"a"});
  EXPECT_EQ(stop_tokens_of(*m, with_end), (ids{2, 3}));
  EXPECT_EQ(stop_tokens_of(*m, without), (ids{3}));
}

TEST(SpecialTokens, ExamplesStartAsTheTokenizersTextsDoAndEndWithItsEnd) {
  const std::vector<std::string> pieces = {"<s>", "</s>", "a"};
  io::job job;
  job.length.max_tokens = 17;
  const auto both =
      std::make_shared<test::piece_tokenizer>(pieces, io::special_ids{.bos = 0, .eos = 1}, ids{0}, ids{1});
  const io::example_rules rules = example_rules_of(job, both);
  EXPECT_EQ(rules.start, ids{0}) << "the end that the tokenizer appends is no part of a start";
  EXPECT_EQ(rules.end, 1);
  EXPECT_EQ(rules.encode("aa", true), (ids{2, 2})) << "start and end are the rules' to add";
  EXPECT_EQ(rules.length.max_tokens, 17);

  const auto one = std::make_shared<test::piece_tokenizer>(pieces, io::special_ids{.bos = 1, .eos = 1}, ids{1});
  EXPECT_EQ(example_rules_of(job, one).start, ids{1}) << "OPT and GPT-2: the same token starts and ends";
  const auto none = std::make_shared<test::piece_tokenizer>(pieces);
  EXPECT_EQ(example_rules_of(job, none).start, ids{});
  EXPECT_EQ(example_rules_of(job, none).end, std::nullopt);
}

}  // namespace
}  // namespace troupe::actors
