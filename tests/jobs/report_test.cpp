// What a finished run tells of itself: gains by hand, from files of two prompts.
#include "io/experience/experience.hpp"
#include "io/run/metrics.hpp"
#include "jobs/report.hpp"
#include "support/temporary_folder.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace troupe {
namespace {

using test::contains;

/// Two prompts with two answers each, of one token each.
io::experience evaluation(std::vector<float> rewards, const std::string& answers) {
  io::experience e;
  e.source_names = {"a"};
  e.reward_names = {"words"};
  e.source_B = {0, 0, 0, 0};
  e.prompt_id_B = e.group_B = {1, 1, 2, 2};
  e.sequence_id_B = {10, 11, 20, 21};
  e.token_N = {5, 6, 5, 6, 5, 6, 5, 6};
  e.sequence_offset_B1 = {0, 2, 4, 6, 8};
  e.answer_offset_B1 = {0, 1, 2, 3, 4};
  e.finished_B = {1, 1, 1, 1};
  e.reward_raw_BS = std::move(rewards);
  for (std::vector<float>* values :
       {&e.logprob_old_A, &e.logprob_ref_A, &e.value_A, &e.reward_shaped_A, &e.advantage_A}) {
    values->assign(4, 0.0F);
  }
  e.prompt_text_B = {"one", "one", "two", "two"};
  e.answer_text_B.assign(4, answers);
  return e;
}

class Report : public ::testing::Test {
protected:
  test::temporary_folder folder;
  io::run_directory run = io::run_directory::open_or_create(folder / "run");
};

TEST_F(Report, MetricsBeforeAndAfterAndWhereAllLies) {
  io::metrics_writer metrics(run.metrics());
  for (const auto& [update, perplexity] : {std::pair(0, 12.5), std::pair(5, 9.0), std::pair(10, 7.25)}) {
    metrics.append({.phase = "sft", .update = update, .values = {{"held_out/perplexity", perplexity}}});
  }
  std::filesystem::create_directories(run.model("sft"));
  io::job job;
  job.run.phases = {io::phase::sft};
  const std::string text = report_text(run, job);
  EXPECT_TRUE(contains(text, "held-out perplexity (SFT)          12.500 -> 7.250\n")) << text;
  EXPECT_FALSE(contains(text, "accuracy")) << "there was no reward phase";
  EXPECT_TRUE(contains(text, "  sft           " + run.model("sft").string() + "\n")) << text;
  EXPECT_FALSE(contains(text, "policy")) << "there is no such model";
}

TEST_F(Report, WhatWasNotMeasuredHasNoHeading) {
  io::job job;
  job.run.phases = {io::phase::pairs};
  io::metrics_writer(run.metrics()).append({.phase = "pairs", .update = 1, .values = {}});
  const std::string text = report_text(run, job);
  EXPECT_FALSE(contains(text, "What was learned")) << text;
  EXPECT_TRUE(contains(text, "Where it lies\n")) << text;
}

TEST_F(Report, TheGainIsPairedByPrompt) {
  std::filesystem::create_directories(run.evaluations());
  io::write_experience(run.evaluation(0), evaluation({0, 1, 2, 3}, "before"));
  io::write_experience(run.evaluation(3), evaluation({2, 3, 6, 7}, "after"));
  io::metrics_writer metrics(run.metrics());
  io::job job;
  job.ppo.iterations = 3;
  const std::string text = report_text(run, job);
  EXPECT_TRUE(contains(text, "held-out reward \"words\"            1.500 -> 4.500\n")) << text;
  // Two prompts gain 2 and 4: the deviation is the root of 2, and 1.96 of it by the root of 2 is the half interval.
  EXPECT_TRUE(contains(text, "+3.000, 95 % interval [+1.040, +4.960] over 2 prompts")) << text;
  EXPECT_TRUE(contains(text, "\n  two\n    before: before\n    after:  after\n")) << text;
}

TEST_F(Report, RewardsThatCouldNotBeHadAreInNoMean) {
  std::filesystem::create_directories(run.evaluations());
  io::experience before = evaluation({0, 1, std::numeric_limits<float>::quiet_NaN(), 3}, "before");
  before.reward_shaped_A[2] = before.advantage_A[2] = 0;
  io::write_experience(run.evaluation(0), before);
  io::write_experience(run.evaluation(3), evaluation({2, 3, 6, 7}, "after"));
  io::job job;
  job.ppo.iterations = 3;
  io::metrics_writer metrics(run.metrics());
  const std::string text = report_text(run, job);
  EXPECT_TRUE(contains(text, "held-out reward \"words\"            1.333 -> 4.500\n")) << text;
  EXPECT_TRUE(contains(text, "+3.000, 95 % interval [+1.040, +4.960] over 2 prompts")) << text;
}

}  // namespace
}  // namespace troupe
