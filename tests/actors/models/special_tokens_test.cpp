// Which tokens end answers and go around the records of data sets, by what model and tokenizer say.
#include "actors/models/special_tokens.hpp"
#include "io/chat/chat.hpp"
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

TEST(SpecialTokens, TheEndOfATextIsTheTokenizersOrTheFirstOfTheModels) {
  const test::piece_tokenizer with_end({"a", "b", "</s>"}, {.eos = 2});
  const test::piece_tokenizer without({"a"});
  const model_ptr m = model_with(R"({"eos_token_id": 3})", R"({"eos_token_id": [1000000, 9, 5]})");
  EXPECT_EQ(end_token_of(*m, with_end), 2);
  EXPECT_EQ(end_token_of(*m, without), 9);
  EXPECT_EQ(end_token_of(*model_with(R"({"eos_token_id": 3})", ""), without), 3);
  EXPECT_EQ(end_token_of(*model_with("{}", ""), without), std::nullopt);
}

TEST(SpecialTokens, AnswersStopAtTheTokenizersEndToo) {
  const model_ptr m = model_with(R"({"eos_token_id": 3})", "");
  const test::piece_tokenizer with_end({"a", "b", "</s>"}, {.eos = 2});
  const test::piece_tokenizer without({"a"});
  EXPECT_EQ(stop_tokens_of(*m, with_end), (ids{2, 3}));
  EXPECT_EQ(stop_tokens_of(*m, without), (ids{3}));
}

TEST(SpecialTokens, ExamplesStartAsTheTokenizersTextsDoAndEndWithItsEnd) {
  const std::vector<std::string> pieces = {"<s>", "</s>", "a", ".", "1", ")", "b"};
  io::job job;
  job.length.max_tokens = 17;
  const auto both =
      std::make_shared<test::piece_tokenizer>(pieces, io::special_ids{.bos = 0, .eos = 1}, ids{0}, ids{1});
  const io::example_rules rules = example_rules_of(job, both);
  EXPECT_EQ(rules.start, ids{0}) << "the end that the tokenizer appends is no part of a start";
  EXPECT_EQ(rules.end, 1);
  EXPECT_EQ(rules.texts.prompt("aa"), (ids{2, 2})) << "start and end are the rules' to add";
  EXPECT_EQ(rules.texts.answer("a", ids{2}, "aa"), (ids{2, 2}));
  EXPECT_EQ(rules.length.max_tokens, 17);

  const auto one = std::make_shared<test::piece_tokenizer>(pieces, io::special_ids{.bos = 1, .eos = 1}, ids{1});
  EXPECT_EQ(example_rules_of(job, one).start, ids{1}) << "OPT and GPT-2: the same token starts and ends";
  const auto none = std::make_shared<test::piece_tokenizer>(pieces);
  EXPECT_EQ(example_rules_of(job, none).start, ids{});
  EXPECT_EQ(example_rules_of(job, none).end, std::nullopt);
}

/// A job with sets that name these templates (empty: none).
io::job job_with_templates(const std::vector<std::string>& templates) {
  io::job job;
  for (const std::string& one : templates) {
    job.data.push_back({.name = "d" + std::to_string(job.data.size()),
                        .path = "x.jsonl",
                        .format = io::data_format::prompt_answer,
                        .chat_template = one});
  }
  return job;
}

TEST(LearnedTurns, AreThoseOfTheTemplateThatTheSetsName) {
  const auto tokens = io::load_tokenizer(test_data() + "/tokenizers/tiny-bpe-512-chat");
  const auto end = tokens->find("<|im_end|>");
  ASSERT_TRUE(end);
  const learned_turns one = learned_turns_of(job_with_templates({"chatml", "", "chatml"}), tokens.get());
  EXPECT_EQ(one.chat_template, io::chat_template_source("chatml")) << "a set without a template says nothing of it";
  EXPECT_EQ(one.ends, ids{*end});
  EXPECT_EQ(learned_turns_of(job_with_templates({"chatml"}), nullptr).chat_template, one.chat_template);
  EXPECT_EQ(learned_turns_of(job_with_templates({"", ""}), tokens.get()), learned_turns{});
}

TEST(LearnedTurns, OfTwoTemplatesNoneIsTheModels) {
  const auto tokens = io::load_tokenizer(test_data() + "/tokenizers/tiny-bpe-512-chat");
  EXPECT_EQ(learned_turns_of(job_with_templates({"chatml", "dialogue"}), tokens.get()).chat_template, "");
  io::job own = job_with_templates({"model"});
  EXPECT_EQ(learned_turns_of(own, tokens.get()).chat_template, "") << "it is there already";
  EXPECT_EQ(learned_turns_of(own, tokens.get()).ends.size(), 1U);
}

}  // namespace
}  // namespace troupe::actors
