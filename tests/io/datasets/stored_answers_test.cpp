// Stored experience as a data set: what its options choose, that ids are those that were sampled, and that a prompt is
// in one phase only.
#include "base/digest.hpp"
#include "io/datasets/examples.hpp"
#include "io/datasets/stored_answers.hpp"
#include "io/job/options.hpp"
#include "support/damage.hpp"
#include "support/piece_tokenizer.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace troupe::io {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

const auto tokens = std::make_shared<test::piece_tokenizer>(std::vector<std::string>{"a", "b"});

/// Groups of four answers to prompts 100, 101, ...: [10 + prompt, answer], of the scores given.
experience answers_of(int64_t iteration, const std::vector<std::vector<float>>& scores,
                      const std::vector<std::vector<int32_t>>& ids = {}) {
  experience e;
  e.iteration = iteration;
  e.tokenizer_digest = digest_text(tokens->digest());
  e.source_names = {"questions"};
  e.reward_names = {"rule"};
  e.behaviour = behaviour_source::unknown;
  e.sequence_offset_B1 = {0};
  e.answer_offset_B1 = {0};
  for (size_t prompt = 0; prompt < scores.size(); ++prompt) {
    for (size_t sample = 0; sample < scores[prompt].size(); ++sample) {
      const auto row = static_cast<int32_t>(e.sequence_id_B.size());
      e.sequence_id_B.push_back(static_cast<uint64_t>(row));
      e.prompt_id_B.push_back(100 + prompt);
      e.group_B.push_back(prompt);
      e.source_B.push_back(0);
      e.finished_B.push_back(1);
      e.reward_raw_BS.push_back(scores[prompt][sample]);
      e.token_N.push_back(10 + static_cast<int32_t>(prompt));
      const std::vector<int32_t> answer =
          ids.empty() ? std::vector<int32_t>{50 + row, 2} : ids[static_cast<size_t>(row)];
      e.token_N.insert(e.token_N.end(), answer.begin(), answer.end());
      e.sequence_offset_B1.push_back(static_cast<int64_t>(e.token_N.size()));
      e.answer_offset_B1.push_back(e.answer_offset_B1.back() + static_cast<int64_t>(answer.size()));
    }
  }
  return e;
}

data_section set_of(const std::string& path = "") {
  data_section set;
  set.name = "stored";
  set.path = path;
  set.format = data_format::experience;
  return set;
}

std::vector<std::vector<int32_t>> chosen_ids(const std::vector<stored_answer>& all) {
  std::vector<std::vector<int32_t>> ids;
  for (const stored_answer& one : all) {
    ids.push_back(one.ids.chosen_ids);
  }
  return ids;
}

TEST(StoredAnswers, TheBestOfEachPrompt) {
  data_section set = set_of();
  set.best = 1;
  stored_counts counts;
  const auto chosen = choose_stored(answers_of(1, {{0, 3, 1}, {nan, 2, nan}}), set, phase::sft, counts);
  EXPECT_EQ(chosen_ids(chosen), (std::vector<std::vector<int32_t>>{{51, 2}, {54, 2}}));
  EXPECT_EQ(chosen[1].ids.prompt_ids, std::vector<int32_t>{11});
  EXPECT_EQ(chosen[1].ids.prompt_digest, 101U);
  EXPECT_EQ(counts.answers, 6);
  EXPECT_EQ(counts.unscorable, 2);
  EXPECT_EQ(counts.not_chosen, 2);
}

TEST(StoredAnswers, EqualAnswersOfAPromptCountOnce) {
  const experience e = answers_of(1, {{5, 5, 4}, {5}}, {{50, 2}, {50, 2}, {51, 2}, {50, 2}});
  data_section set = set_of();
  stored_counts counts;
  EXPECT_EQ(choose_stored(e, set, phase::sft, counts).size(), 3U);
  EXPECT_EQ(counts.duplicates, 1);
  set.unique = false;
  EXPECT_EQ(choose_stored(e, set, phase::sft, counts).size(), 4U);
}

TEST(StoredAnswers, PairsWithBothSidesIds) {
  stored_counts counts;
  const auto pairs = choose_stored(answers_of(1, {{0, 3, 1}, {1, 1}}), set_of(), phase::reward, counts);
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_EQ(pairs[0].ids.chosen_ids, (std::vector<int32_t>{51, 2}));
  EXPECT_EQ(pairs[0].ids.rejected_ids, (std::vector<int32_t>{50, 2}));
  EXPECT_EQ(counts.not_chosen, 3);
}

class StoredData : public ::testing::Test {
protected:
  void write(int64_t iteration, const experience& e) const {
    write_experience(folder_ / ("iteration-00000" + std::to_string(iteration) + ".h5"), e);
  }
  job job_with(data_section set) const {
    job j;
    j.data = {std::move(set)};
    j.split = {.sft = 1, .reward = 1, .ppo = 0, .held_out = 0.2};
    return j;
  }
  static example_rules rules_of(const job& j) {
    const text_joiner none{text_encoder([](std::string_view) { return std::vector<int32_t>(); })};
    return {.texts = none,
            .chats = none,
            .start = {1},
            .end = 2,
            .length = j.length,
            .format_of = [](const data_section&) { return chat_format::named("dialogue"); },
            .tokens = tokens};
  }
  static phase_data load(const job& j, phase wanted) { return load_phase_data(j, wanted, rules_of(j)); }

  test::temporary_folder folder_;
};

TEST_F(StoredData, IdsAreThoseOfTheFilesWithNothingAdded) {
  write(1, answers_of(1, {{0, 3}}));
  write(2, answers_of(2, {{7, 3}}));
  data_section set = set_of(folder_.path().string());
  set.best = 1;
  job j = job_with(set);
  j.split = {.sft = 1, .reward = 0, .ppo = 0, .held_out = 0};
  const phase_data data = load(j, phase::sft);
  ASSERT_EQ(data.training[0].size(), 2U);
  EXPECT_EQ(data.training[0][0].prompt, std::vector<int32_t>{10});
  EXPECT_EQ(data.training[0][0].chosen, (std::vector<int32_t>{51, 2}));
  EXPECT_EQ(data.training[0][1].chosen, (std::vector<int32_t>{50, 2}));
  EXPECT_NE(describe(data.reports[0]).find("2 answers not chosen"), std::string::npos) << describe(data.reports[0]);
}

TEST_F(StoredData, APromptIsInOnePhaseOnly) {
  std::vector<std::vector<float>> scores(60, {0, 1, 2});
  write(1, answers_of(1, scores));
  const job j = job_with(set_of(folder_.path().string()));
  std::set<uint64_t> seen;
  size_t prompts = 0;
  for (const phase wanted : {phase::sft, phase::reward}) {
    const phase_data data = load(j, wanted);
    std::set<uint64_t> own;
    for (const example& one : data.training[0]) {
      own.insert(one.prompt_digest);
    }
    for (const example& one : data.held_out[0]) {
      EXPECT_FALSE(own.contains(one.prompt_digest));
    }
    prompts += own.size();
    seen.insert(own.begin(), own.end());
  }
  EXPECT_EQ(seen.size(), prompts);
  EXPECT_GT(prompts, 40U);
}

TEST_F(StoredData, WeightsAreThoseOfTheAdvantage) {
  write(1, answers_of(1, {{0, 2}}));
  data_section set = set_of(folder_.path().string());
  set.advantage_temperature = 2;
  job j = job_with(set);
  j.split = {.sft = 1, .reward = 0, .ppo = 0, .held_out = 0};
  const phase_data data = load(j, phase::sft);
  EXPECT_DOUBLE_EQ(data.training[0][0].weight, std::exp(-0.5));
  EXPECT_DOUBLE_EQ(data.training[0][1].weight, std::exp(0.5));
  j.data[0].advantage_temperature = std::numeric_limits<double>::infinity();
  const phase_data plain = load(j, phase::sft);
  EXPECT_EQ(plain.training[0][0].weight, 1.0);
  EXPECT_NE(plain.digest, data.digest) << "other weights are other data";
}

TEST_F(StoredData, PairsTellTheLengthsOfBothSides) {
  write(1, answers_of(1, {{0, 3}}, {{50, 51, 52, 2}, {53, 2}}));
  job j = job_with(set_of(folder_.path().string()));
  j.split = {.sft = 0, .reward = 1, .ppo = 0, .held_out = 0};
  const std::string told = describe(load(j, phase::reward).reports[0]);
  EXPECT_NE(told.find("chosen answers have 2.0 tokens on average, rejected ones 4.0"), std::string::npos) << told;
}

TEST_F(StoredData, LengthsAreThoseOfThePairsToTrainOn) {
  std::vector<std::vector<int32_t>> ids;
  for (int32_t prompt = 0; prompt < 30; ++prompt) {
    ids.emplace_back(static_cast<size_t>(1 + prompt), 50);
    ids.emplace_back(2, 60 + prompt);
  }
  write(1, answers_of(1, std::vector<std::vector<float>>(30, {3, 0}), ids));
  job j = job_with(set_of(folder_.path().string()));
  j.split = {.sft = 0, .reward = 1, .ppo = 0, .held_out = 1};
  const phase_data data = load(j, phase::reward);
  ASSERT_GT(data.held_out[0].size(), 5U);
  double tokens = 0;
  for (const example& one : data.training[0]) {
    tokens += static_cast<double>(one.chosen.size());
  }
  EXPECT_NEAR(data.reports[0].chosen_tokens, tokens / static_cast<double>(data.training[0].size()), 1e-9);
  EXPECT_NEAR(data.reports[0].rejected_tokens, 2, 1e-9);
}

TEST_F(StoredData, ASetThatNoPhaseOfTheRunHasAPartInIsLeftAlone) {
  write(1, answers_of(1, {{0, 3}}));
  data_section set = set_of(folder_.path().string());
  set.phases = {phase::sft};
  job j = job_with(set);
  j.run.phases = {phase::reward};
  const phase_data data = read_phase_data(j, phase::reward, rules_of(j));
  EXPECT_TRUE(data.training[0].empty());
  EXPECT_EQ(data.reports[0].records, 0);
}

TEST_F(StoredData, ASurveyReadsNoMoreFilesThanItNeeds) {
  write(1, answers_of(1, {{0, 3, 1}}));
  std::ofstream(folder_ / "iteration-000002.h5") << "no experience";
  job j = job_with(set_of(folder_.path().string()));
  j.split = {.sft = 1, .reward = 0, .ppo = 0, .held_out = 0};
  j.data[0].limit = 3;
  EXPECT_EQ(load(j, phase::sft).training[0].size(), 3U);
  j.data[0].limit = 4;
  test::expect_error(errc::bad_file, "is not an experience file", [&] { load(j, phase::sft); });
}

TEST_F(StoredData, WithoutRewardsNothingIsChosenByThem) {
  experience e = answers_of(1, {{0, 3}});
  e.reward_names.clear();
  e.reward_raw_BS.clear();
  write(1, e);
  job j = job_with(set_of(folder_.path().string()));
  j.split = {.sft = 1, .reward = 0, .ppo = 0, .held_out = 0};
  EXPECT_EQ(load(j, phase::sft).training[0].size(), 2U) << "all are learned: no reward is needed";
  j.data[0].best = 1;
  test::expect_error(errc::bad_argument, "data.stored: none of its 2 answers has a reward",
                     [&] { load(j, phase::sft); });
}

TEST_F(StoredData, AFolderOfExperienceWantsItsFormat) {
  write(1, answers_of(1, {{0, 3}}));
  job j = job_with(set_of(folder_.path().string()));
  j.data[0].format = data_format::automatic;
  problem_list problems;
  check_files(j, problems);
  ASSERT_FALSE(problems.empty());
  EXPECT_NE(problems.back().find("it is a folder of stored experience, and format is auto: set format = experience"),
            std::string::npos)
      << problems.back();
}

TEST_F(StoredData, AnotherTokenizerAndNoFilesAreRefused) {
  experience e = answers_of(1, {{0, 3}});
  e.tokenizer_digest = "0123456789abcdef";
  write(1, e);
  test::expect_error(errc::bad_argument, "sampled with another tokenizer (digest 0123456789abcdef)",
                     [&] { load(job_with(set_of(folder_.path().string())), phase::sft); });
  test::temporary_folder empty;
  test::expect_error(errc::not_found, "data.stored.path",
                     [&] { load(job_with(set_of(empty.path().string())), phase::sft); });
}

TEST(StoredOptions, AreForExperienceAlone) {
  const auto job_of = [](const std::string& data) {
    return "[run]\nphases = sft\n[model]\npolicy = m\n[data.d]\npath = d.jsonl\n" + data;
  };
  const job_origin origin{.name = "job.ini", .stem = "job", .folder = "/", .current = "/"};
  test::expect_error(errc::bad_argument, "are for format = experience, here it is prompt-answer",
                     [&] { parse_job(job_of("format = prompt-answer\nbest = 1\n"), origin); });
  test::expect_error(errc::bad_argument, "format = experience cannot serve",
                     [&] { parse_job(job_of("format = experience\nphases = ppo\n"), origin); });
  for (const char* line :
       {"answer-template = {answer}!", "prompt = question", "end-token = false", "template-date = 2025-01-01"}) {
    const std::string text(line);
    test::expect_error(errc::bad_argument, "data.d." + text + " is for files of records: experience has tokens",
                       [&] { parse_job(job_of("format = experience\n" + text + "\n"), origin); });
  }
  test::expect_error(errc::bad_argument, "data.d.pairs-per-prompt = 3 is about phase reward, which the set does not",
                     [&] { parse_job(job_of("format = experience\nphases = sft\npairs-per-prompt = 3\n"), origin); });
  for (const char* line : {"best = 1", "advantage-temperature = 2"}) {
    test::expect_error(errc::bad_argument, "data.d." + std::string(line) + " is about phase sft", [&] {
      parse_job(job_of("format = experience\nphases = reward\n" + std::string(line) + "\n"), origin);
    });
  }
  EXPECT_EQ(parse_job(job_of("format = experience\nbest = 2\nmin-reward = -1.5\n"), origin).data[0].best, 2);
  EXPECT_EQ(
      parse_job(job_of("format = experience\nadvantage-temperature = inf\n"), origin).data[0].advantage_temperature,
      std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace troupe::io
