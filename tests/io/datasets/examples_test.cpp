#include "base/error.hpp"
#include "io/datasets/examples.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace troupe::io {

static const std::string folder = test_data() + "/datasets/";

/// A token for each byte; 1000 marks where a sequence starts.
static std::vector<int32_t> bytes_of(std::string_view text, bool starts) {
  std::vector<int32_t> out;
  if (starts) {
    out.push_back(1000);
  }
  for (const char c : text) {
    out.push_back(static_cast<unsigned char>(c));
  }
  return out;
}

static example_rules rules(int64_t prompt, int64_t whole, too_long policy) {
  return {.encode = bytes_of,
          .encode_chat = bytes_of,
          .start = {1},
          .end = 2,
          .length = {.max_prompt_tokens = prompt, .max_tokens = whole, .too_long = policy}};
}

static record pair(const std::string& prompt, const std::string& chosen, const std::string& rejected) {
  record r;
  r.prompt = prompt;
  r.chosen = chosen;
  r.rejected = rejected;
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

TEST(ExamplesTest, ChatPromptsHaveTheirOwnStart) {
  data_section set;
  set.chat_template = "chatml";
  source_report report;
  const auto e = make_example(pair("ab", "c", "d"), phase::sft, set, rules(10, 20, too_long::drop), report);
  EXPECT_EQ(e->prompt, (std::vector<int32_t>{1000, 'a', 'b'}));
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
  EXPECT_EQ(report.unusable, 1);
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
  EXPECT_EQ(r.records, r.kept + r.too_long + r.empty + r.unusable + r.other_use + r.conflicting);
  EXPECT_EQ(r.kept, static_cast<int64_t>(data.training[1].size() + data.held_out[1].size()));
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

TEST(ExamplesTest, PairsThatTheRunMadeAreASourceOfTheirOwn) {
  job j = gsm_and_hh();
  j.data.pop_back();
  j.data[0].phases = {phase::ppo};
  const phase_data data = load_phase_data(j, phase::reward, roomy(), folder + "pairs.jsonl");
  EXPECT_EQ(data.source_names.back(), "pairs");
  EXPECT_EQ(data.reports.back().records, 2);
}

TEST(ExamplesTest, ABadLineStopsWithFileAndLine) {
  const std::string path = testing::TempDir() + "/bad.jsonl";
  std::ofstream(path) << "{\"prompt\": \"p\", \"answer\": \"a\"}\n\n{\"prompt\": 1}\n";
  job j = gsm_and_hh();
  j.data[0].path = path;
  j.data[0].format = data_format::prompt_answer;
  try {
    load_phase_data(j, phase::sft, roomy());
    FAIL() << "no error";
  } catch (const error& e) {
    EXPECT_NE(std::string(e.what()).find(path + ", line 3: field \"prompt\""), std::string::npos) << e.what();
  }
}

}  // namespace troupe::io
