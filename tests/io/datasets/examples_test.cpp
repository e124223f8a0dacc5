#include "base/error.hpp"
#include "io/datasets/examples.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>

namespace troupe::io {

static const std::string folder = test_data() + "/datasets/";

/// A token for each byte; 1000 marks where a sequence starts.
static std::vector<int32_t> bytes_of(std::string_view text) {
  std::vector<int32_t> out = {1000};
  for (const char c : text) {
    out.push_back(static_cast<unsigned char>(c));
  }
  return out;
}

static chat_format named_format(const data_section& set) {
  return chat_format::named(set.chat_template.empty() ? "dialogue" : set.chat_template);
}

static example_rules rules(int64_t prompt, int64_t whole, too_long policy) {
  return {.texts = text_joiner(bytes_of),
          .chats = text_joiner(bytes_of),
          .start = {1},
          .end = 2,
          .length = {.max_prompt_tokens = prompt, .max_tokens = whole, .too_long = policy},
          .format_of = named_format};
}

static record pair(const std::string& prompt, const std::string& chosen, const std::string& rejected) {
  record r;
  r.prompt = prompt;
  r.chosen = chosen;
  r.rejected = rejected;
  r.reference = chosen;
  r.has_answer = r.has_pair = true;
  return r;
}

TEST(ExamplesTest, StartPromptAnswerAndEndAreJoined) {
  source_report report;
  const auto e = make_example(pair("ab", "c", "d"), phase::reward, {}, rules(10, 20, too_long::drop), report);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->prompt, (std::vector<int32_t>{1, 1000, 'a', 'b'}));
  EXPECT_EQ(e->chosen, (std::vector<int32_t>{'c', 2}));
  EXPECT_EQ(e->rejected, (std::vector<int32_t>{'d', 2}));
  EXPECT_EQ(report.kept, 1);
}

TEST(ExamplesTest, WithoutEndTokenTheAnswerStandsAlone) {
  data_section set;
  set.end_token = false;
  source_report report;
  const auto e = make_example(pair("ab", "c", "d"), phase::sft, set, rules(10, 20, too_long::drop), report);
  EXPECT_EQ(e->chosen, (std::vector<int32_t>{'c'}));
  EXPECT_TRUE(e->rejected.empty());
}

TEST(ExamplesTest, RolloutsTakeThePromptAndTheReference) {
  source_report report;
  const auto e = make_example(pair("ab", "c", "d"), phase::ppo, {}, rules(10, 20, too_long::drop), report);
  EXPECT_TRUE(e->chosen.empty());
  EXPECT_EQ(e->reference, "c");
}

/// How turns become ids for a model whose tokenizer knows <|im_end|>.
class TurnsTest : public testing::Test {
protected:
  std::shared_ptr<const tokenizer> tokens_ = load_tokenizer(test_data() + "/tokenizers/tiny-bpe-512-chat");

  /// The example of a record of one exchange, in the format.
  std::optional<example> made(const std::string& format, const std::string& said, const std::string& answered,
                              source_report& report) const {
    data_section set;
    set.format = data_format::conversations;
    set.chat_template = format;
    example_rules r = rules(1000, 2000, too_long::drop);
    r.texts = text_joiner([this](std::string_view text) { return tokens_->encode(text, false); });
    r.chats = text_joiner(marked_encoder([this](const jinja::text& text) { return encode_chat(*tokens_, text); }));
    r.tokens = tokens_;
    r.spelled = std::make_shared<special_token_counter>(*tokens_);
    const nlohmann::json line = {
        {"messages", {{{"role", "user"}, {"content", said}}, {{"role", "assistant"}, {"content", answered}}}}};
    return make_example(read_record(line.dump(), set, "l", named_format(set)), phase::sft, set, r, report);
  }

  std::vector<int32_t> ids(const std::string& text) const { return tokens_->encode(text, false); }
};

TEST_F(TurnsTest, AFormatWithTokensOfItsOwnGetsNoOthers) {
  source_report report;
  const auto e = made("chatml", "ab", "c", report);
  EXPECT_EQ(e->prompt, ids("<|im_start|>user\nab<|im_end|>\n<|im_start|>assistant\n"));
  EXPECT_EQ(e->chosen, ids("c<|im_end|>")) << "its own end of turn, and no end token after it";
}

TEST_F(TurnsTest, APlainFormatGetsStartAndEndToken) {
  source_report report;
  const auto e = made("dialogue", "ab", "c", report);
  std::vector<int32_t> prompt = ids("\n\nHuman: ab\n\nAssistant:");
  prompt.insert(prompt.begin(), 1);
  std::vector<int32_t> answer = ids(" c");
  answer.push_back(2);
  EXPECT_EQ(e->prompt, prompt);
  EXPECT_EQ(e->chosen, answer);
  EXPECT_EQ(report.spelled, 0);
}

TEST_F(TurnsTest, SpecialTokensThatTurnsSpellOutAreTextAndCounted) {
  source_report report;
  const auto e = made("chatml", "<|im_end|>", "<|im_start|>", report);
  const int32_t end = *tokens_->find("<|im_end|>");
  EXPECT_EQ(std::count(e->prompt.begin(), e->prompt.end(), end), 1);
  EXPECT_EQ(std::count(e->chosen.begin(), e->chosen.end(), *tokens_->find("<|im_start|>")), 0);
  EXPECT_EQ(report.spelled, 2);
  EXPECT_NE(describe(report).find("2 special tokens that its messages spell out are taken for text"),
            std::string::npos);
}

TEST(ExamplesTest, DropCountsWhatIsTooLong) {
  const example_rules r = rules(4, 7, too_long::drop);
  source_report report;
  EXPECT_TRUE(make_example(pair("ab", "cd", "e"), phase::reward, {}, r, report));
  EXPECT_FALSE(make_example(pair("abc", "c", "e"), phase::reward, {}, r, report));
  EXPECT_FALSE(make_example(pair("ab", "c", "efg"), phase::reward, {}, r, report));
  EXPECT_EQ(report.kept, 1);
  EXPECT_EQ(report.too_long, 2);
  EXPECT_EQ(report.truncated, 0);
}

TEST(ExamplesTest, TruncateCutsPromptsAtTheirBeginningAndAnswersAtTheirEnd) {
  source_report report;
  const auto e = make_example(pair("abcd", "efgh", "x"), phase::reward, {}, rules(3, 6, too_long::truncate), report);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->prompt, (std::vector<int32_t>{1, 'c', 'd'}));
  EXPECT_EQ(e->chosen, (std::vector<int32_t>{'e', 'f', 'g'})) << "cut, so without an end token";
  EXPECT_EQ(e->rejected, (std::vector<int32_t>{'x', 2}));
  EXPECT_EQ(report.truncated, 1);
}

TEST(ExamplesTest, EmptyAnswersAndEqualPairsAreCounted) {
  const example_rules r = rules(10, 20, too_long::drop);
  source_report report;
  EXPECT_FALSE(make_example(pair("a", "", "x"), phase::sft, {}, r, report));
  EXPECT_FALSE(make_example(pair("a", "x", "x"), phase::reward, {}, r, report));
  EXPECT_EQ(report.empty, 2);
  record bare = pair("a", "", "");
  bare.has_answer = bare.has_pair = false;
  EXPECT_FALSE(make_example(bare, phase::sft, {}, r, report));
  EXPECT_EQ(report.lacking, 1);
  EXPECT_TRUE(make_example(bare, phase::ppo, {}, r, report));
}

static job gsm_and_hh() {
  job j;
  data_section gsm;
  gsm.name = "gsm";
  gsm.path = folder + "gsm8k.jsonl.gz";
  gsm.format = data_format::question_answer;
  data_section hh;
  hh.name = "hh";
  hh.path = folder + "hh_rlhf.jsonl";
  hh.format = data_format::hh_dialogue;
  j.data = {gsm, hh};
  j.split = {.sft = 1, .reward = 1, .ppo = 1, .held_out = 1};
  return j;
}

static example_rules roomy() { return rules(100000, 200000, too_long::drop); }

static std::multiset<uint64_t> digests(const std::vector<std::vector<example>>& sources) {
  std::multiset<uint64_t> out;
  for (const auto& source : sources) {
    for (const example& e : source) {
      out.insert(e.prompt_digest);
    }
  }
  return out;
}

TEST(ExamplesTest, NoPromptIsInTwoPhasesAndNoneIsLost) {
  const job j = gsm_and_hh();
  std::set<uint64_t> all;
  size_t sum = 0;
  for (const phase p : {phase::sft, phase::reward, phase::ppo}) {
    const auto part = digests(load_phase_data(j, p, roomy()).training);
    all.insert(part.begin(), part.end());
    sum += part.size();
  }
  const auto held_out = digests(load_phase_data(j, phase::ppo, roomy()).held_out);
  all.insert(held_out.begin(), held_out.end());
  EXPECT_EQ(all.size(), 48U);
  EXPECT_EQ(sum + held_out.size(), 48U);
}

TEST(ExamplesTest, ReportsAddUp) {
  const phase_data data = load_phase_data(gsm_and_hh(), phase::reward, roomy());
  EXPECT_EQ(data.source_names, (std::vector<std::string>{"gsm", "hh"}));
  EXPECT_EQ(data.reports[0].records, 0) << "gsm does not serve the reward phase";
  const source_report& r = data.reports[1];
  EXPECT_EQ(r.records, 24);
  EXPECT_EQ(r.records,
            r.kept + r.held_out + r.too_long + r.empty + r.lacking + r.other_use + r.conflicting + r.unusable);
  EXPECT_EQ(r.kept, static_cast<int64_t>(data.training[1].size()));
  EXPECT_EQ(r.held_out, static_cast<int64_t>(data.held_out[1].size()));
}

TEST(ExamplesTest, TheDigestFollowsTheContent) {
  job j = gsm_and_hh();
  const uint64_t whole = load_phase_data(j, phase::sft, roomy()).digest;
  EXPECT_EQ(whole, load_phase_data(j, phase::sft, roomy()).digest);
  j.data[0].limit = 20;
  EXPECT_NE(whole, load_phase_data(j, phase::sft, roomy()).digest);
}

TEST(ExamplesTest, ASetCannotTakeAPromptThatAnotherUsesElsewhere) {
  job j = gsm_and_hh();
  j.data[1] = j.data[0];
  j.data[1].name = "again";
  j.data[0].phases = {phase::sft};
  j.data[1].phases = {phase::ppo};
  j.split.held_out = 0;
  try {
    load_phase_data(j, phase::ppo, roomy());
    FAIL() << "no error";
  } catch (const error& e) {
    EXPECT_NE(std::string(e.what()).find("again: 24 records, 0 kept, 24 claimed by another set"), std::string::npos)
        << e.what();
  }
}

TEST(ExamplesTest, MadePairsStayWithThePhasesOfTheirPrompts) {
  job j = gsm_and_hh();
  j.data[0].phases = {phase::pairs, phase::ppo};
  j.data.pop_back();
  const auto prompts = digests(load_phase_data(j, phase::pairs, roomy()).training);
  const auto ppo = digests(load_phase_data(j, phase::ppo, roomy()).training);
  EXPECT_EQ(prompts.size() + ppo.size(), 24U);
  for (const uint64_t digest : prompts) {
    EXPECT_EQ(ppo.count(digest), 0U);
  }
}

/// A run's folder with pairs of these prompts.
static std::string made_pairs_of(const std::vector<std::vector<example>>& prompts, const std::string& name) {
  const std::filesystem::path root = testing::TempDir() + "/" + name;
  std::filesystem::remove_all(root);
  const run_directory run = run_directory::open_or_create(root);
  const attempt_fence fence = run.fence(0);
  std::filesystem::create_directories(fence.folder());
  std::vector<made_pair> pairs;
  for (const auto& source : prompts) {
    for (const example& one : source) {
      pairs.push_back({.prompt_digest = one.prompt_digest,
                       .prompt_ids = one.prompt,
                       .chosen_ids = {7, 8},
                       .rejected_ids = {7, 9},
                       .prompt = "p",
                       .chosen = "c",
                       .rejected = "r"});
    }
  }
  write_pairs_part(run, 0, pairs, fence);
  join_pairs_parts(run, 1, fence);
  return pairs_file(run).string();
}

TEST(ExamplesTest, PairsThatTheRunMadeAreASourceOfTheirOwn) {
  job j = gsm_and_hh();
  j.data.pop_back();
  j.data[0].phases = {phase::pairs, phase::ppo};
  const auto prompts = load_phase_data(j, phase::pairs, roomy()).training;
  const phase_data data = load_phase_data(j, phase::reward, roomy(), made_pairs_of(prompts, "made"));
  EXPECT_EQ(data.source_names.back(), "pairs");
  EXPECT_EQ(data.reports.back().records, static_cast<int64_t>(prompts[0].size()));
  ASSERT_FALSE(data.training.back().empty());
  const example& one = data.training.back().front();
  EXPECT_EQ(one.chosen, (std::vector<int32_t>{7, 8})) << "as sampled: no end token that was not there";
  EXPECT_EQ(one.rejected, (std::vector<int32_t>{7, 9}));
}

/// What decides where a prompt belongs, whatever becomes of its text.
struct way {
  const char* chat_template;
  too_long policy;
  int64_t prompt_tokens;
  bool lower_case;  ///< a normaliser
};

static std::vector<int32_t> lower_bytes_of(std::string_view text) {
  std::string low(text);
  std::transform(low.begin(), low.end(), low.begin(), [](unsigned char c) { return std::tolower(c); });
  return bytes_of(low);
}

TEST(ExamplesTest, NoPromptIsInTwoPhasesWhenPairsAreMade) {
  for (const way& how : {way{"", too_long::drop, 100000, false}, way{"chatml", too_long::drop, 100000, false},
                         way{"llama-2", too_long::truncate, 60, false}, way{"", too_long::truncate, 20, false},
                         way{"llama-3", too_long::truncate, 40, true}, way{"", too_long::drop, 400, true}}) {
    job j = gsm_and_hh();
    j.data.pop_back();
    j.data[0].phases = {phase::pairs, phase::ppo};
    j.data[0].chat_template = how.chat_template;
    example_rules r = rules(how.prompt_tokens, 200000, how.policy);
    if (how.lower_case) {
      r.texts = r.chats = text_joiner(lower_bytes_of);
    }
    const auto prompts = load_phase_data(j, phase::pairs, r).training;
    const std::string made = made_pairs_of(prompts, "two_phases");
    std::multiset<uint64_t> seen;
    for (const phase p : {phase::sft, phase::reward, phase::ppo}) {
      const auto part = digests(load_phase_data(j, p, r, made).training);
      seen.insert(part.begin(), part.end());
    }
    const auto held_out = digests(load_phase_data(j, phase::ppo, r, made).held_out);
    EXPECT_FALSE(held_out.empty());
    for (const uint64_t digest : held_out) {
      EXPECT_EQ(seen.count(digest), 0U) << "a held-out prompt is trained on";
    }
    for (const uint64_t digest : seen) {
      EXPECT_EQ(seen.count(digest), 1U) << "a prompt is in two phases";
    }
    EXPECT_GT(seen.size(), 5U);
  }
}

/// A file of prompts and answers, with these lines among them.
static job with_lines(int64_t good, const std::string& bad) {
  const std::string path = testing::TempDir() + "/lines.jsonl";
  std::ofstream file(path);
  file << "\xEF\xBB\xBF";
  for (int64_t i = 0; i < good; ++i) {
    file << R"({"prompt": "p)" << i << R"(", "answer": "a"})" << (i % 2 == 0 ? "\r\n" : "\n");
  }
  file << bad;
  job j = gsm_and_hh();
  j.data.resize(1);
  j.data[0].path = path;
  j.data[0].format = data_format::prompt_answer;
  return j;
}

TEST(ExamplesTest, RecordsThatCannotBeUsedAreLeftOutAndTold) {
  const job j = with_lines(200, "{\"prompt\": 1}\n\n{\"prompt\": \"\xFF\"}\n");
  const phase_data data = load_phase_data(j, phase::sft, roomy());
  const source_report& r = data.reports[0];
  EXPECT_EQ(r.unusable, 2);
  EXPECT_EQ(r.records, 202);
  EXPECT_EQ(r.records, r.kept + r.held_out + r.other_use + r.unusable);
  const std::string told = describe(r);
  EXPECT_NE(told.find("2 that cannot be used"), std::string::npos) << told;
  EXPECT_NE(told.find("line 201: field \"prompt\" is a JSON number"), std::string::npos) << told;
  EXPECT_NE(told.find("line 203: byte 13 is not valid UTF-8"), std::string::npos) << told;
}

TEST(ExamplesTest, TooManyOfThemStopWithExamples) {
  job j = with_lines(97, "{\"prompt\": 1}\n{\n[]\n");
  try {
    load_phase_data(j, phase::sft, roomy());
    FAIL() << "no error";
  } catch (const error& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("3 of 100 records (3 %) cannot be used"), std::string::npos) << text;
    EXPECT_NE(text.find("line 98: field \"prompt\""), std::string::npos) << text;
    EXPECT_NE(text.find("line 100: is a JSON array"), std::string::npos) << text;
    EXPECT_NE(text.find("raise data.max-unusable"), std::string::npos) << text;
  }
  j.data_sets.max_unusable = 0.03;
  EXPECT_EQ(load_phase_data(j, phase::sft, roomy()).reports[0].unusable, 3);
}

TEST(ExamplesTest, SharesOfAnEpochAreTold) {
  job j = gsm_and_hh();
  j.data[1].weight = 2;
  const phase_data data = load_phase_data(j, phase::sft, roomy());
  EXPECT_NEAR(data.reports[0].share + data.reports[1].share, 1.0, 1e-12);
  const double kept = static_cast<double>(data.training[0].size());
  EXPECT_NEAR(data.reports[0].share, kept / (kept + 2.0 * static_cast<double>(data.training[1].size())), 0.02);
  EXPECT_NE(describe(data.reports[0]).find("% of an epoch"), std::string::npos);
}

}  // namespace troupe::io
