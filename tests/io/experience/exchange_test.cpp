/// Rollouts as JSON lines: what is exported comes back, in every format, and what does not fit is refused by name.
#include "io/experience/capabilities.hpp"
#include "io/experience/exchange.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace troupe::io {
namespace {

using test::expect_error;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Two prompts with two answers each, rewarded by two sources.
experience rollout() {
  experience e;
  e.iteration = 7;
  e.policy_version = 12;
  e.temperature = 0.7;
  e.tokenizer_digest = "2123456789abcdef";
  e.source_names = {"sums", "h\xc3\xa9h\xc3\xa9"};
  e.reward_names = {"right", "short"};
  e.reward_weight_S = {1, 0.5};
  e.sequence_id_B = {3, 4, 9, 12};
  e.prompt_id_B = {1, 1, 2, 2};
  e.group_B = {77, 77, 78, 78};
  e.source_B = {0, 0, 1, 1};
  e.token_N = {1, 2, 3, 4, 1, 2, 5, 1, 6, 7, 1, 6, 8, 9};
  e.sequence_offset_B1 = {0, 4, 7, 10, 14};
  e.answer_offset_B1 = {0, 2, 3, 4, 6};
  e.finished_B = {1, 0, 1, 1};
  e.logprob_old_A = {-0.1F, -1.25F, -3, -1e-7F, -0.33333334F, -2};
  e.logprob_ref_A = {-0.75F, -1, -2, -3, -4, -5};
  e.value_A = {0.1F, 0.2F, 0.3F, 0, 0, 0};
  e.reward_raw_BS = {1, 0.1F, 0, 0.2F, nan, 0.3F, 1, 0.4F};
  e.reward_shaped_A = {0, 1, 2, 0, 4, 5};
  e.advantage_A = {-1, 0.5F, 1, 0, 2, 4};
  e.prompt_text_B = {"1+1=", "1+1=", "say \"z\xc3\xbc\"\n", "say \"z\xc3\xbc\"\n"};
  e.answer_text_B = {"2", "3", "z\xc3\xbc", ""};
  e.label_text_B = {"2", "2", "", ""};
  return e;
}

struct exported {
  std::string text;
  export_report report;
};

exported export_all(const std::vector<experience>& all, const export_settings& settings) {
  exported out;
  for (const experience& e : all) {
    export_lines(e, settings, out.report, [&](const std::string& line) { out.text += line; });
  }
  return out;
}

/// Each byte is a token, and an end token follows a finished answer.
import_tokens by_bytes(const json_line& prompt, const json_line& answer, bool finished) {
  import_tokens tokens{.prompt_text = prompt.get<std::string>(), .answer_text = answer.get<std::string>()};
  tokens.prompt.assign(tokens.prompt_text.begin(), tokens.prompt_text.end());
  for (const char byte : tokens.answer_text) {
    tokens.answer.push_back(static_cast<unsigned char>(byte));
  }
  for (int32_t& id : tokens.prompt) {
    id &= 255;
  }
  if (finished) {
    tokens.answer.push_back(256);
  }
  return tokens;
}

std::vector<experience> import_all(const std::string& text, import_settings settings) {
  experience_import import(std::move(settings));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    import.add(parse_json_line(line));
  }
  return import.finish();
}

/// Through an experience file, as `troupe import` and `troupe experience --export` go.
std::vector<experience> through_files(const std::vector<experience>& all) {
  const test::temporary_folder folder;
  std::vector<experience> read;
  for (const experience& e : all) {
    write_experience(folder / "e.h5", e);
    read.push_back(read_experience(folder / "e.h5"));
  }
  return read;
}

std::vector<experience> two_steps() {
  experience second = rollout();
  second.iteration = 8;
  second.policy_version = 16;
  second.reward_raw_BS = {0, 0, 1, 0, 1, 1, 0, 0.25F};
  return {rollout(), second};
}

class Exchange : public ::testing::TestWithParam<exchange_format> {};

TEST_P(Exchange, ExportImportExportGivesTheSameBytes) {
  const export_settings settings{.format = GetParam(), .threshold = 0.5};
  const exported first = export_all(two_steps(), settings);
  const auto imported = import_all(first.text, {.format = GetParam(), .tokenise = by_bytes});
  const exported second = export_all(through_files(imported), settings);
  EXPECT_GT(first.report.lines, 1);
  EXPECT_EQ(second.text, first.text);
}

INSTANTIATE_TEST_SUITE_P(Formats, Exchange,
                         ::testing::Values(exchange_format::troupe, exchange_format::verl,
                                           exchange_format::open_instruct, exchange_format::trl_prompt_completion,
                                           exchange_format::trl_preference, exchange_format::trl_unpaired),
                         [](const auto& info) {
                           std::string name(to_string(info.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(ExchangeTest, OurOwnFormHasEverything) {
  const exported out = export_all({rollout()}, {});
  const std::string first = out.text.substr(0, out.text.find('\n'));
  EXPECT_EQ(first,
            R"({"prompt":"1+1=","answer":"2","prompt_tokens":[1,2],"answer_tokens":[3,4],"logprobs":[-0.1,-1.25],)"
            R"("temperature":0.7,"reward":1.05,"rewards":{"right":1.0,"short":0.1},"label":"2","group":77,"sample":0,)"
            R"("step":7,"policy_version":12,"finish":"stop","source":"sums","tokenizer":"2123456789abcdef"})");
  EXPECT_NE(out.text.find(R"("reward":null,"rewards":{"right":null,"short":0.3})"), std::string::npos)
      << "unscorable, not 0";
  EXPECT_NE(out.text.find(R"("sample":1,)"), std::string::npos);

  const experience back = import_all(out.text, {.format = exchange_format::troupe}).at(0);
  const experience e = rollout();
  EXPECT_EQ(back.token_N, e.token_N);
  EXPECT_EQ(back.logprob_old_A, e.logprob_old_A) << "to the bit";
  EXPECT_EQ(back.group_B, e.group_B);
  EXPECT_EQ(back.finished_B, e.finished_B);
  EXPECT_EQ(back.source_names, e.source_names);
  EXPECT_EQ(back.temperature, 0.7);
  EXPECT_EQ(back.behaviour, behaviour_source::imported);
  EXPECT_FALSE(back.complete);
  EXPECT_EQ(back.reward_names, (std::vector<std::string>{"reward", "right", "short"}));
  for (int64_t b = 0; b < e.sequences(); ++b) {
    EXPECT_TRUE(back.score(b) == e.score(b) || (std::isnan(back.score(b)) && std::isnan(e.score(b)))) << b;
  }
}

TEST(ExchangeTest, LinesOfTheOthersAreAsTheyWriteThem) {
  const auto first_line = [](const export_settings& settings) {
    const std::string text = export_all({rollout()}, settings).text;
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(first_line({.format = exchange_format::verl}),
            R"({"input":"1+1=","output":"2","gts":"2","score":1.05,"step":7,"right":1.0,"short":0.1})");
  EXPECT_EQ(first_line({.format = exchange_format::open_instruct}),
            R"({"step":7,"sample_idx":0,"prompt_idx":77,"prompt_tokens":[1,2],"response_tokens":[3,4],"reward":1.05,)"
            R"("advantage":-0.25,"finish_reason":"stop","dataset":"sums","ground_truth":null,"request_info":null,)"
            R"("logprobs":[-0.1,-1.25]})");
  EXPECT_EQ(first_line({.format = exchange_format::trl_prompt_completion}), R"({"prompt":"1+1=","completion":"2"})");
  EXPECT_EQ(first_line({.format = exchange_format::trl_preference}),
            R"({"prompt":"1+1=","chosen":"2","rejected":"3"})");
  EXPECT_EQ(first_line({.format = exchange_format::trl_unpaired, .threshold = 1}),
            R"({"prompt":"1+1=","completion":"2","label":true})");
}

TEST(ExchangeTest, APairIsTheBestAndTheWorstAndTiesAreNone) {
  experience e = rollout();  // scores 1.05, 0.1, none, 1.2
  exported out = export_all({e}, {.format = exchange_format::trl_preference});
  EXPECT_EQ(out.report, (export_report{.lines = 1, .left_out = 2, .chosen_tokens = 2, .rejected_tokens = 1}));
  out = export_all({e}, {.format = exchange_format::trl_preference, .margin = 0.95});
  EXPECT_EQ(out.report.lines, 0) << "no more than the margin";
  e.reward_raw_BS = {1, 0, 1, 0, 0, 2, 0, 2};
  EXPECT_EQ(export_all({e}, {.format = exchange_format::trl_preference}).report.lines, 0) << "ties";
}

TEST(ExchangeTest, AThresholdIsAskedForWhereRewardsAreNotZeroOrOne) {
  expect_error(errc::bad_argument, "say by --threshold from which reward on an answer is good",
               [] { export_all({rollout()}, {.format = exchange_format::trl_unpaired}); });
  const exported out = export_all({rollout()}, {.format = exchange_format::trl_unpaired, .threshold = 1});
  EXPECT_EQ(out.report.left_out, 1) << "the one without a score";
}

TEST(ExchangeTest, WhatAnImportCannotServeIsRefusedByName) {
  const std::string text = "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":\"a\",\"completion\":\"c\"}\n";
  const experience e = import_all(text, {.format = exchange_format::trl_prompt_completion, .tokenise = by_bytes}).at(0);
  EXPECT_EQ(e.behaviour, behaviour_source::unknown);
  EXPECT_TRUE(e.logprob_old_A.empty());
  EXPECT_EQ(e.token_N, (std::vector<int32_t>{'a', 'b', 256, 'a', 'c', 256}));
  EXPECT_EQ(e.group_B[0], e.group_B[1]) << "one prompt";
  const capabilities c = capabilities_of(e);
  EXPECT_TRUE(c.texts);
  EXPECT_FALSE(c.log_probs || c.rewards || c.groups || c.exact_replay || c.values);
  EXPECT_EQ(describe(c),
            "tokens, texts; no log-probs, reference log-probs, values, rewards, groups, labels, exact replay");
  expect_error(errc::unsupported,
               "f.h5: importance weights cannot be had without the log-probabilities of the policy that sampled, which "
               "this experience has not: troupe score MODEL --experience fills in those of a model",
               [&] { require_served(e, &capabilities::log_probs, "importance weights", "f.h5"); });
  expect_error(errc::unsupported,
               "an export as trl-preference cannot be had without several scored samples of a prompt",
               [&] { export_all({e}, {.format = exchange_format::trl_preference}); });
  const capabilities live = capabilities_of(rollout());
  EXPECT_TRUE(live.log_probs && live.reference && live.values && live.rewards && live.groups && live.labels);
  EXPECT_FALSE(live.exact_replay) << "nobody noted the KL's coefficient";
}

TEST(ExchangeTest, AGroupMayBeAny64Bits) {
  // Without a group the prompt's digest is one: often beyond what a signed number holds.
  for (const exchange_format format : {exchange_format::troupe, exchange_format::open_instruct}) {
    experience e = rollout();
    e.group_B = {UINT64_MAX, UINT64_MAX, 1, uint64_t{1} << 63U};
    const exported out = export_all({e}, {.format = format});
    EXPECT_EQ(import_all(out.text, {.format = format}).at(0).group_B, e.group_B) << to_string(format);
  }
}

TEST(ExchangeTest, AnAnswerWithoutTokensNeedsNoAdvantage) {
  experience e = rollout();
  e.answer_offset_B1 = {0, 2, 3, 4, 4};
  e.group_B[3] = 79;  // what was its answer is of its prompt
  for (std::vector<float>* values :
       {&e.logprob_old_A, &e.logprob_ref_A, &e.value_A, &e.reward_shaped_A, &e.advantage_A}) {
    values->resize(4);
  }
  const export_settings settings{.format = exchange_format::open_instruct};
  const exported out = export_all({e}, settings);
  EXPECT_NE(out.text.find(R"("response_tokens":[],"reward":1.2,"advantage":null)"), std::string::npos) << out.text;
  EXPECT_EQ(export_all(import_all(out.text, {.format = exchange_format::open_instruct}), settings).text, out.text);
}

TEST(ExchangeTest, NamesMayBeAnyBytes) {
  experience e = rollout();
  e.source_names[1] = std::string("a\0b", 3);
  e.reward_names[1] = std::string("\xFF\0", 2);
  const exported out = export_all({e}, {});
  EXPECT_NE(out.text.find("\"\uFFFD\\u0000\":0.1"), std::string::npos) << out.text;
  const std::vector<experience> stored = through_files(import_all(out.text, {}));
  EXPECT_EQ(stored.at(0).source_names[1], "a\u2400b");
  EXPECT_EQ(stored.at(0).reward_names[2], "\uFFFD\u2400");
}

TEST(ExchangeTest, AsManyNamesAreTakenAsAreStored) {
  std::string sources;
  std::string rewards;
  for (int i = 1; i <= 4000; ++i) {
    sources += fmt::format(R"({{"prompt_tokens":[1],"answer_tokens":[2],"source":"{}"}})", i) + "\n";
    rewards += fmt::format(R"({}"{}":1)", i > 1 ? "," : "", i);
  }
  EXPECT_EQ(through_files(import_all(sources, {})).at(0).source_names.back(), "4000");
  expect_error(errc::bad_argument, "\"more\" is one source too many: a step may have 4000",
               [&] { import_all(sources + R"({"prompt_tokens":[1],"answer_tokens":[2],"source":"more"})", {}); });
  expect_error(errc::bad_argument, "\"4000\" is one reward too many: a step may have 4000", [&] {
    import_all(R"({"prompt_tokens":[1],"answer_tokens":[2],"reward":1,"rewards":{)" + rewards + "}}", {});
  });
}

TEST(ExchangeTest, RewardsOfVerlKeepTheirPlacesWhateverTheirNames) {
  experience e = rollout();
  e.reward_names = {"reward/input", "input"};
  const std::string text = export_all({e}, {.format = exchange_format::verl}).text;
  EXPECT_NE(text.find(R"("reward/input":1.0,"reward/reward/input":0.1})"), std::string::npos) << text;
}

TEST(ExchangeTest, LinesThatDoNotFitAreRefused) {
  const auto refused = [](const char* part, const std::string& text, import_settings settings = {}) {
    expect_error(errc::bad_argument, part, [&] { import_all(text, settings); });
  };
  const std::string good = R"({"prompt_tokens":[1],"answer_tokens":[2],"step":3,"logprobs":[-1]})";
  EXPECT_EQ(import_all(good, {}).at(0).iteration, 3);
  refused("\"prompt_tokens\" is missing", "{}");
  refused("it has text and no tokens", R"({"prompt":"a","answer":"b"})");
  refused("\"answer\" is missing", R"({"prompt":"a"})");
  refused("\"answer_tokens\"[1] is -2, not an id", R"({"prompt_tokens":[1],"answer_tokens":[2,-2]})");
  refused("\"logprobs\" has 2 numbers for 1 tokens", R"({"prompt_tokens":[1],"answer_tokens":[2],"logprobs":[-1,-1]})");
  refused("logprob_old[0] = 0.5 is not a log-probability",
          R"({"prompt_tokens":[1],"answer_tokens":[2],"logprobs":[0.5]})");
  refused("\"reward\" is of type string", R"({"prompt_tokens":[1],"answer_tokens":[2],"reward":"high"})");
  refused("\"reward\" is 1e+300: a float cannot hold it",
          R"({"prompt_tokens":[1],"answer_tokens":[2],"reward":1e300})");
  refused("\"rewards\" is there without \"reward\"", R"({"prompt_tokens":[1],"answer_tokens":[2],"rewards":{"a":1}})");
  refused("\"finish\" is \"maybe\"", R"({"prompt_tokens":[1],"answer_tokens":[2],"finish":"maybe"})");
  refused("\"step\" is -1", R"({"prompt_tokens":[1],"answer_tokens":[2],"step":-1})");
  refused("\"policy_version\" is 9, and 3 in the lines of the same step",
          good + "\n" + R"({"prompt_tokens":[1],"answer_tokens":[2],"step":3,"logprobs":[-1],"policy_version":9})");
  refused("what gave \"logprobs\" is unknown, and imported",
          good + "\n" + R"({"prompt_tokens":[1],"answer_tokens":[2],"step":3})");
  refused("its prompt has no token", R"({"prompt_tokens":[],"answer_tokens":[2]})");
  refused("\"sample\" is -1", R"({"prompt_tokens":[1],"answer_tokens":[2],"sample":-1})");
  refused("the temperature nan is no number", good, {.temperature = std::numeric_limits<double>::quiet_NaN()});
  refused("the id 2 is beyond the 2 of the tokenizer", good, {.vocabulary = 2});
  refused("its tokens are of the tokenizer abc", R"({"prompt_tokens":[1],"answer_tokens":[2],"tokenizer":"abc"})",
          {.tokenizer_digest = "def"});
  refused("some have none",
          R"({"prompt_tokens":[1],"response_tokens":[2],"reward":1,"advantage":1})"
          "\n"
          R"({"prompt_tokens":[1],"response_tokens":[2],"reward":1})",
          {.format = exchange_format::open_instruct});
  expect_error(errc::unsupported, "\"mask\" leaves out tokens",
               [] { import_all(R"({"prompt_tokens":[1],"answer_tokens":[2,3],"mask":[1,0]})", {}); });
}

TEST(ExchangeTest, AGroupHasOnePrompt) {
  const std::string first = R"({"prompt_tokens":[1,2],"answer_tokens":[3],"group":5})";
  const auto refused = [&](const char* part, const std::string& second, exchange_format format) {
    expect_error(errc::bad_argument, part, [&] { import_all(first + "\n" + second, {.format = format}); });
  };
  const auto ours = exchange_format::troupe;
  refused("it is of group 5, and its prompt is another than in the lines of the same step and group before (it has 4 "
          "as token 1 (from 0), not 2)",
          R"({"prompt_tokens":[1,4],"answer_tokens":[3],"group":5})", ours);
  refused("it has 1 tokens, not 2", R"({"prompt_tokens":[1],"answer_tokens":[3],"group":5})", ours);
  const std::string same = R"({"prompt_tokens":[1,2],"answer_tokens":[4],"group":5})";
  const std::string later = R"({"prompt_tokens":[9],"answer_tokens":[4],"group":5,"step":2})";
  EXPECT_EQ(import_all(first + "\n" + same + "\n" + later, {}).size(), 2U) << "another step has its own groups";
  expect_error(errc::bad_argument, "it is of group 5", [] {
    import_all(R"({"prompt_tokens":[1],"response_tokens":[2],"prompt_idx":5})"
               "\n"
               R"({"prompt_tokens":[3],"response_tokens":[2],"prompt_idx":5})",
               {.format = exchange_format::open_instruct});
  });
}

TEST(ExchangeTest, AnAbortedAnswerIsLeftOut) {
  experience_import import({});
  import.add(parse_json_line(R"({"prompt_tokens":[1],"answer_tokens":[2],"finish":"abort"})"));
  EXPECT_EQ(import.left_out(), 1);
  EXPECT_TRUE(import.finish().empty());
}

TEST(ExchangeTest, AFormatIsNamedByItsWord) {
  EXPECT_EQ(exchange_format_named("open-instruct"), exchange_format::open_instruct);
  expect_error(errc::bad_argument, "\"tml\" is no format of rollouts: give one of troupe, verl, open-instruct",
               [] { exchange_format_named("tml"); });
}

}  // namespace
}  // namespace troupe::io
