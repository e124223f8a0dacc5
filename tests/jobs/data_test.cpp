// troupe data: what it says of data sets whose every line is known, and what it warns of.
#include "io/experience/experience.hpp"
#include "jobs/data_warnings.hpp"
#include "support/json_output.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <limits>

namespace troupe::test {
namespace {

using json = nlohmann::json;

TEST(DataWarnings, ASurveyOfStoredAnswersHasNotSeenAllOfThem) {
  io::job job;
  job.run.phases = {io::phase::sft};
  job.sft.training.batch = 256;
  source_survey source{.name = "stored", .training = std::vector<io::example>(125)};
  source.report.records = 125;
  source.report.stored.answers = 1000;
  data_survey survey{.tokens = io::load_tokenizer(test_data() + "/stories260k"),
                     .phases = {{.phase = io::phase::sft, .sources = {source}}},
                     .limit = 1000};
  EXPECT_TRUE(data_warnings(job, survey).empty()) << "of the best of eight there may be more than a batch";
  survey.limit = 2000;
  EXPECT_FALSE(data_warnings(job, survey).empty());
}

class Data : public ::testing::Test {
protected:
  Data() {
    for (int i = 1; i <= 60; ++i) {
      std::string answer = "It is number " + std::to_string(i) + ".";
      if (i == 7 || i == 20) {
        for (int word = 0; word < 200; ++word) {
          answer += " and more";
        }
      }
      instructions_ += json({{"instruction", "Say " + std::to_string(i)}, {"output", answer}}).dump() + "\n";
    }
    write("mine.jsonl", instructions_);
    write("job.ini",
          "[run]\nphases = sft\n[model]\npolicy = " + test_data() +
              "/stories260k\n[data.mine]\npath = mine.jsonl\nformat = instruction\n[sft]\nupdates = 1\nbatch = "
              "2\n[length]\nmax-prompt-tokens = 48\nmax-tokens = 96\n");
  }

  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }

  program_result run(const std::string& command, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {command, (folder_ / "job.ini").string()};
    words.insert(words.end(), more.begin(), more.end());
    return run_program(words);
  }

  json report(std::vector<std::string> more = {}) {
    more.emplace_back("--json");
    const program_result result = run("data", more);
    EXPECT_EQ(result.status, 0) << result.output;
    return json_output(result.output);
  }

  /// Whether one of the warnings has this in it.
  static bool warns(const json& of, const std::string& part) {
    for (const json& warning : of.at("warnings")) {
      if (contains(warning.get<std::string>(), part)) {
        return true;
      }
    }
    return false;
  }

  temporary_folder folder_;
  std::string instructions_;
};

TEST_F(Data, EveryRecordIsAccountedFor) {
  const json all = report({"--split.reward", "0", "--split.ppo", "0"});
  const json& source = all.at("phases").at(0).at("sources").at(0);
  EXPECT_EQ(source.at("records"), 60);
  ASSERT_EQ(source.at("left_out").size(), 1U) << source;
  EXPECT_EQ(source.at("left_out")[0], (json{{"reason", "too long"}, {"count", 2}, {"lines", {7, 20}}}));
  const int64_t kept = source.at("training").get<int64_t>() + source.at("held_out").get<int64_t>();
  EXPECT_EQ(kept, 58);
  for (const char* part : {"prompt", "answer"}) {
    int64_t counted = 0;
    for (const json& bin : source.at("tokens").at(part).at("histogram")) {
      counted += bin.at("count").get<int64_t>();
    }
    EXPECT_EQ(counted, kept) << part;
  }
}

TEST_F(Data, WhatIsLearnedFromIsMarked) {
  const json all = report({"--examples", "1"});
  const json& example = all.at("phases").at(0).at("sources").at(0).at("examples").at(0);
  const std::string line = std::to_string(example.at("line").get<int64_t>());
  const json& pieces = example.at("chosen");
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_FALSE(pieces[0].at("learned"));
  EXPECT_TRUE(contains(pieces[0].at("text").get<std::string>(), "\n\nHuman: Say " + line + "\n\nAssistant:"))
      << pieces[0];
  EXPECT_TRUE(pieces[1].at("learned"));
  EXPECT_TRUE(contains(pieces[1].at("text").get<std::string>(), " It is number " + line + ".")) << pieces[1];
  EXPECT_TRUE(contains(pieces[1].at("text").get<std::string>(), "</s>")) << pieces[1];

  const program_result text = run("data", {"--examples", "1"});
  EXPECT_TRUE(contains(text.output, "Assistant:[[ It is number " + line + ".")) << text.output;
  EXPECT_FALSE(contains(text.output, "\x1b")) << "no colour where there is no terminal";
  const json whole = report({"--examples", "1", "--sft.loss", "all"});
  EXPECT_TRUE(whole.at("phases").at(0).at("sources").at(0).at("examples").at(0).at("chosen").at(1).at("learned"));
}

/// Of three answers to a prompt two are alike, and one has no score.
TEST_F(Data, StoredAnswersThatAreNotTakenAreCounted) {
  io::experience e;
  e.iteration = 1;
  e.tokenizer_digest = "a8591d5a095483b9";  // of the policy
  e.source_names = {"mine"};
  e.reward_names = {"mood"};
  e.reward_weight_S = {1};
  e.sequence_id_B = {1, 2, 3};
  e.prompt_id_B = {1, 1, 1};
  e.group_B = {0, 0, 0};
  e.source_B = {0, 0, 0};
  e.token_N = {1, 403, 407, 1, 403, 407, 1, 403, 432};
  e.sequence_offset_B1 = {0, 3, 6, 9};
  e.answer_offset_B1 = {0, 1, 2, 3};
  e.finished_B = {1, 1, 1};
  e.logprob_old_A = {-1, -1, -2};
  e.reward_raw_BS = {1, 1, std::numeric_limits<float>::quiet_NaN()};
  io::write_experience(folder_ / "iteration-000001.h5", e);
  const std::vector<std::string> stored = {
      "--data.mine.best", "1", "--data.mine.format", "experience", "--data.mine.path", folder_.path().string()};
  const json all = report(stored);
  EXPECT_EQ(all.at("phases")[0].at("sources")[0].at("stored"),
            (json{{"answers", 3}, {"duplicates", 1}, {"unscorable", 1}, {"not_chosen", 0}}))
      << all;
  EXPECT_TRUE(contains(run("data", stored).output, "    of 3 stored answers\n"
                                                   "      1 answers equal to another of their prompt\n"
                                                   "      1 answers without a reward\n"))
      << run("data", stored).output;
}

TEST_F(Data, ControlCharactersOfTheDataAreShownAsNumbers) {
  write("mine.jsonl", instructions_ + R"({"instruction":"\u001b[2J","output":"\u001b[2J"})" + "\n");
  EXPECT_FALSE(contains(run("data", {"--examples", "100"}).output, "\x1b"));
}

TEST_F(Data, ASoundJobIsNotWarnedOf) { EXPECT_EQ(report().at("warnings"), json::array()); }

TEST_F(Data, NothingHeldOut) {
  const std::vector<std::string> none = {"--split.held-out",     "0", "--evaluation.prompts", "0",
                                         "--evaluation.records", "0"};
  EXPECT_TRUE(warns(report(none), "split.held-out = 0: nothing is held out"));
  for (const char* command : {"plan", "run"}) {
    EXPECT_TRUE(contains(run(command, none).output, "nothing is held out")) << command;
  }
  write("mine.jsonl", instructions_.substr(0, instructions_.find("Say 5\"")) + "Say 5\",\"output\":\"x\"}\n");
  EXPECT_TRUE(warns(report({"--split.held-out", "0.001"}), "none is held out by split.held-out = 0.001"));
}

TEST_F(Data, PromptsOfPairsWithoutTheTemplateOfTheInstructions) {
  std::string pairs;
  for (int i = 1; i <= 60; ++i) {
    pairs += json({{"prompt", "Say " + std::to_string(i)}, {"chosen", " yes"}, {"rejected", " no"}}).dump() + "\n";
  }
  write("pairs.jsonl", pairs);
  const std::vector<std::string> two = {
      "--run.phases",       "sft reward", "--data.two.path",   (folder_ / "pairs.jsonl").string(),
      "--data.two.format",  "pairs",      "--data.two.phases", "reward",
      "--data.mine.phases", "sft",        "--reward.updates",  "1",
      "--reward.batch",     "2"};
  EXPECT_TRUE(warns(report(two), "data.two (reward): its prompts do not end in \"\\n\\nAssistant:\""));
  std::vector<std::string> mended = two;
  mended.insert(mended.end(), {"--data.two.prompt-template", "\"\\n\\nHuman: {prompt}\\n\\nAssistant:\""});
  EXPECT_FALSE(warns(report(mended), "do not end in"));
}

TEST_F(Data, RightAnswersWithoutNumbers) {
  std::string sums;
  for (int i = 1; i <= 60; ++i) {
    const std::string answer = i % 30 == 0 ? "I do not know" : "#### " + std::to_string(i);
    sums += json({{"question", "What is " + std::to_string(i) + "?"}, {"answer", answer}}).dump() + "\n";
  }
  write("mine.jsonl", sums);
  std::vector<std::string> ppo = {"--run.phases",
                                  "ppo",
                                  "--data.mine.format",
                                  "question-answer",
                                  "--rewards.right.kind",
                                  "answer",
                                  "--ppo.prompts",
                                  "2",
                                  "--ppo.iterations",
                                  "1",
                                  "--generation.max-new-tokens",
                                  "24",
                                  "--split.held-out",
                                  "1"};
  const json all = report(ppo);
  EXPECT_TRUE(warns(all, "right answers have no number (lines ")) << all.at("warnings");
  EXPECT_TRUE(warns(all, "lines 30") || warns(all, "lines 60")) << all.at("warnings");
  ppo.insert(ppo.end(), {"--rewards.right.max-unscorable", "0"});
  for (const char* command : {"plan", "run"}) {
    const program_result refused = run(command, ppo);
    EXPECT_EQ(refused.status, 2) << refused.output;
    EXPECT_TRUE(contains(refused.output, "right answer without a number")) << refused.output;
  }
}

TEST_F(Data, AnswersThatAreAllCut) {
  EXPECT_TRUE(
      warns(report({"--length.max-prompt-tokens", "28", "--length.max-tokens", "29", "--length.too-long", "truncate"}),
            "and have no end"));
  EXPECT_TRUE(warns(
      report({"--run.phases", "sft ppo", "--rewards.x.kind", "lexicon", "--rewards.x.lexicon",
              test_data() + "/vader/vader_lexicon.txt", "--generation.max-new-tokens", "3", "--ppo.prompts", "2"}),
      "generation.max-new-tokens = 3 cuts most answers"));
}

TEST_F(Data, BatchesThatAreMoreThanTheData) {
  EXPECT_TRUE(warns(report({"--sft.batch", "1000"}), "sft.batch = 1000 is more than the"));
}

TEST_F(Data, OptionsAreHeld) {
  EXPECT_EQ(run_program({"data"}).status, 2);
  EXPECT_EQ(run("data", {"--examples", "some"}).status, 2);
  EXPECT_EQ(run("data", {"--examples"}).status, 2);
}

}  // namespace
}  // namespace troupe::test
