// What `troupe plan` says of a machine that is too small, and that what it names to set does suffice.
#include "base/card_memory_text.hpp"
#include "jobs/plan_fit.hpp"
#include "support/test_data.hpp"
#include "support/text_search.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>

namespace troupe {
namespace {

using test::contains;

/// Supervised training of a Llama of two layers (tests/data/tiny/llama) on a card.
io::job sft_job() {
  io::job job;
  job.run.phases = {io::phase::sft};
  job.model.policy = test_data() + "/tiny/llama";
  job.place.device = io::device_choice::cuda;
  job.place.optimizer = io::memory_place::host;
  job.length.max_tokens = 32;
  job.sft.training.batch = 64;
  job.sft.training.updates = 10;
  job.sft.training.micro_batch_tokens = 2048;
  return job;
}

io::job ppo_job() {
  io::job job = sft_job();
  job.run.phases = {io::phase::ppo};
  job.model.critic = job.model.reference = job.model.policy;
  job.length.max_prompt_tokens = 16;
  job.generation.max_new_tokens = 16;
  job.generation.cache_mib = 64;
  job.ppo.micro_batch_tokens = 32;
  job.ppo.ptx_coef = 0;
  return job;
}

int64_t card_peak(const io::job& job) { return plan_job(job).front().card_peak_bytes(); }

std::string all_of(const std::vector<std::string>& options) {
  return std::accumulate(options.begin(), options.end(), std::string(),
                         [](const std::string& all, const std::string& one) { return all + one + " "; });
}

/// Of the options that a job is given in turn, each stands in what is said where a card's memory runs out.
TEST(OptionsThatFitCard, AreThoseThatTheErrorOfACardNames) {
  const std::string named = options_for_less_card_memory;
  io::job job = ppo_job();
  job.place.ranks = 2;
  job.place.optimizer = io::memory_place::card;
  job.ppo.micro_batch_tokens = 4096;
  int64_t card_bytes = card_peak(job);
  std::set<std::string> told;
  for (auto options = options_that_fit_card(job, card_bytes); options;
       options = options_that_fit_card(job, card_bytes)) {
    for (const std::string& option : *options) {
      const std::string name = option.substr(2, option.find(' ') - 2);  // behind the dashes
      told.insert(name);
      const size_t behind_section = name.find('.') + 1;
      EXPECT_TRUE(contains(named, name) || contains(named, name.substr(behind_section))) << name << " in " << named;
    }
    card_bytes -= card_bytes / 8;
  }
  EXPECT_GE(told.size(), 6U) << "too few were tried";
}

TEST(OptionsThatFitCard, NoneAreNeededWhereItFits) {
  EXPECT_EQ(options_that_fit_card(sft_job(), card_peak(sft_job()))->size(), 0U);
}

TEST(OptionsThatFitCard, ActivationsAreComputedAnewBeforeNumbersChange) {
  io::job job = sft_job();
  job.run.activation_checkpointing = true;
  const int64_t recomputed = card_peak(job);
  ASSERT_LT(recomputed, card_peak(sft_job()));
  EXPECT_EQ(all_of(*options_that_fit_card(sft_job(), recomputed)), "--run.activation-checkpointing true ");
}

TEST(OptionsThatFitCard, OfWhatWasTriedOnlyWhatIsNeededIsNamed) {
  io::job job = sft_job();
  job.sft.training.micro_batch_tokens = 512;
  job.run.activation_checkpointing = true;
  const auto options = options_that_fit_card(sft_job(), card_peak(job));
  ASSERT_TRUE(options);
  EXPECT_EQ(all_of(*options), "--run.activation-checkpointing true --sft.micro-batch-tokens 512 ");
}

TEST(OptionsThatFitCard, TheCacheShrinksWhereTheRolloutIsTheFullest) {
  io::job job = ppo_job();
  job.generation.cache_mib = 16;
  EXPECT_EQ(all_of(*options_that_fit_card(ppo_job(), card_peak(job))), "--generation.cache-mib 16 ");
}

TEST(OptionsThatFitCard, WhatLearnsGoesToTheHostWhereTheRestIsAsSmallAsItCanBe) {
  io::job job = ppo_job();
  job.run.activation_checkpointing = true;
  job.generation.cache_mib = 1;
  job.model.type = io::weight_type::bf16;
  const int64_t learned_on_host = card_peak(job);
  job.place.optimizer = io::memory_place::card;
  ASSERT_GT(card_peak(job), learned_on_host);
  EXPECT_EQ(all_of(*options_that_fit_card(job, learned_on_host)), "--place.optimizer host ");
}

TEST(OptionsThatFitCard, ModelsThatOnlyScoreAreStreamedBeforeNumbersChange) {
  io::job job = ppo_job();
  job.run.activation_checkpointing = true;
  job.generation.cache_mib = 1;
  io::job streamed = job;
  streamed.place.frozen = io::memory_place::host;
  EXPECT_EQ(all_of(*options_that_fit_card(job, card_peak(streamed))), "--place.frozen host ");
}

TEST(OptionsThatFitCard, ASecondRankSharesWeightsWhereNothingElseHelps) {
  io::job job = ppo_job();
  job.run.activation_checkpointing = true;
  job.generation.cache_mib = 1;
  job.model.type = io::weight_type::bf16;
  job.place.ranks = 2;
  job.place.policy_zero = job.place.critic_zero = job.place.frozen_zero = 3;
  const int64_t shared = card_peak(job);
  const auto options = options_that_fit_card(ppo_job(), shared);
  ASSERT_TRUE(options);
  EXPECT_TRUE(contains(all_of(*options), "--place.ranks 2 ")) << all_of(*options);
  EXPECT_TRUE(contains(all_of(*options), "--place.frozen-zero 3 ")) << all_of(*options);
  io::job odd = ppo_job();
  odd.run.lanes = 3;
  EXPECT_FALSE(options_that_fit_card(odd, shared)) << "two ranks do not divide three lanes";
}

TEST(MisfitsOfPlan, SayWhatHoldsTheMostAtTheWorstMoment) {
  const io::job job = ppo_job();
  const std::vector<phase_plan> plans = plan_job(job);
  EXPECT_TRUE(misfits_of_plan(job, plans, {}).empty()) << "nothing is known of the machine";
  EXPECT_TRUE(misfits_of_plan(job, plans, {int64_t{1} << 40, int64_t{1} << 40}).empty());
  const auto card = misfits_of_plan(job, plans, {.card_bytes = 20'000'000});
  ASSERT_EQ(card.size(), 1U);
  EXPECT_TRUE(card[0].starts_with("it does not fit the card, which has 20.0 MB: ppo needs ")) << card[0];
  EXPECT_TRUE(contains(card[0], " while it generates (keys and values 67.1 MB, ")) << card[0];
  EXPECT_TRUE(contains(card[0], "It would with --generation.cache-mib ")) << card[0];
  const auto none = misfits_of_plan(job, plans, {.card_bytes = 100'000});
  EXPECT_TRUE(contains(none[0], "No option makes it fit: while it generates, a card holds all weights of the policy"))
      << none[0];
  const auto host = misfits_of_plan(job, plans, {.host_bytes = 1'000'000});
  ASSERT_EQ(host.size(), 1U);
  EXPECT_TRUE(contains(host[0], "the host's memory, 1.0 MB for a rank: ppo needs ")) << host[0];
}

}  // namespace
}  // namespace troupe
