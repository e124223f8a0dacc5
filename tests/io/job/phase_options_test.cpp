// Which options a phase goes by, and what of them may still change.
#include "io/job/job.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

using lines = std::vector<std::string>;

/// Instructions, and pairs behind them, for all three phases.
job plain() {
  job out;
  out.model.policy = "/m";
  out.data.push_back(
      {.name = "said", .path = "/said.jsonl", .format = data_format::prompt_answer, .phases = {phase::sft}});
  out.data.push_back(
      {.name = "hh", .path = "/hh.jsonl", .format = data_format::pairs, .phases = {phase::reward, phase::ppo}});
  out.rewards.push_back({.name = "model"});
  return out;
}

lines changes(const job& before, const job& now, phase of) { return differences(before, now, std::vector{of}); }

TEST(PhaseOptions, OfOtherPhasesAreFree) {
  const job before = plain();
  job now = before;
  now.ppo.kl_coef = 0.5;
  now.rewards[0].weight = 2;
  now.generation.max_new_tokens = 7;
  now.reward.training.batch = 3;
  now.data[1].answer_template = " {answer}!";
  EXPECT_EQ(changes(before, now, phase::sft), lines{});
  EXPECT_EQ(job_digest(before, phase::sft), job_digest(now, phase::sft));
  EXPECT_EQ(changes(before, now, phase::reward),
            (lines{"data.hh.answer-template: empty before, \" {answer}!\" now", "reward.batch: 64 before, 3 now"}));
  EXPECT_EQ(changes(before, now, phase::ppo).size(), 4U);
}

TEST(PhaseOptions, TheOnesThatAllShareAreHeldByAny) {
  const job before = plain();
  job now = before;
  now.run.seed = 2;
  for (const phase of : {phase::sft, phase::reward, phase::ppo}) {
    EXPECT_EQ(changes(before, now, of), lines{"run.seed: 1 before, 2 now"});
  }
}

TEST(PhaseOptions, OfMixingCountWhereSomethingIsMixedIn) {
  job before = plain();
  job now = before;
  now.experience.max_staleness = 9;
  EXPECT_EQ(job_digest(before, phase::ppo), job_digest(now, phase::ppo)) << "jobs keep the digests that they had";
  before.experience = {.mix = 0.25, .max_staleness = 8};
  now.experience = {.mix = 0.25, .max_staleness = 9};
  EXPECT_EQ(changes(before, now, phase::ppo), lines{"experience.max-staleness: 8 before, 9 now"});
  EXPECT_EQ(changes(before, now, phase::sft), lines{});
  EXPECT_EQ(changes(plain(), now, phase::ppo),
            (lines{"experience.mix: absent before, 0.25 now", "experience.max-staleness: absent before, 9 now"}));
}

TEST(PhaseOptions, TheTypeOfWeightsIsHeldByAnyPhaseAndCountsWhereItIsNotFloat32) {
  const job before = plain();
  job now = before;
  now.model.type = weight_type::bf16;
  for (const phase of : {phase::pairs, phase::sft, phase::reward, phase::ppo, phase::replay}) {
    EXPECT_EQ(changes(before, now, of), lines{"model.dtype: absent before, bf16 now"})
        << "float32 jobs keep the digests that they had";
    EXPECT_EQ(changes(now, before, of), lines{"model.dtype: bf16 before, absent now"});
    EXPECT_NE(job_digest(before, of), job_digest(now, of));
  }
}

TEST(PhaseOptions, ASetThatStandsBeforeAnotherHoldsItsPrompts) {
  const job before = plain();
  job now = before;
  now.data.insert(now.data.begin(),
                  {.name = "new", .path = "/new.jsonl", .format = data_format::prompt_answer, .phases = {phase::ppo}});
  EXPECT_EQ(changes(before, now, phase::sft), lines{"[data.new]: has to do with phase sft now, not before"});
  now = before;
  now.data.push_back(
      {.name = "new", .path = "/new.jsonl", .format = data_format::prompt_answer, .phases = {phase::ppo}});
  EXPECT_EQ(changes(before, now, phase::sft), lines{});
  EXPECT_EQ(changes(before, now, phase::reward), lines{});
}

TEST(PhaseOptions, APhaseThatIsAddedTakesNoPromptsFromOneThatHasBegun) {
  job before = plain();
  before.run.phases = {phase::sft, phase::reward};
  job now = before;
  now.run.phases = {phase::sft, phase::reward, phase::ppo};
  EXPECT_EQ(changes(before, now, phase::sft), lines{}) << "it has a set of its own";
  EXPECT_EQ(changes(before, now, phase::reward),
            lines{"prompts of data.hh: reward 4, held-out 0.5 before, reward 4, ppo 4, held-out 0.5 now"});
  before.split.phases = {phase::sft, phase::reward, phase::ppo};
  EXPECT_EQ(changes(before, now, phase::reward), lines{}) << "they were kept for it";
}

TEST(PhaseOptions, APhaseThatAnotherHasGoneOnWithoutIsNotAdded) {
  job before = plain();
  before.run.phases = {phase::ppo};
  before.split.phases = {phase::sft, phase::reward, phase::ppo};
  job now = before;
  now.run.phases = {phase::sft, phase::ppo};
  EXPECT_EQ(changes(before, now, phase::ppo), lines{"phases that ppo goes on from: empty before, sft now"});
}

TEST(PhaseOptions, AMixtureMakesPpoGoBySftData) {
  job before = plain();
  job now = before;
  now.data[0].limit = 5;
  now.sft.loss = sft_loss::all;
  now.data.push_back(now.data[0]);
  now.data.back().name = "more";
  EXPECT_EQ(changes(before, now, phase::ppo).size(), 1U) << "data.said stands before data.hh";
  before.ppo.ptx_coef = now.ppo.ptx_coef = 1;
  EXPECT_EQ(changes(before, now, phase::ppo).size(), 3U);
}

TEST(PhaseOptions, LengthCountsOnlyWhereLearningRatesFall) {
  job before = plain();
  job now = before;
  now.ppo.iterations = 60;
  EXPECT_TRUE(falls_with_length(before, phase::ppo));
  EXPECT_EQ(changes(before, now, phase::ppo), lines{"ppo.iterations: 100 before, 60 now"});
  for (job* one : {&before, &now}) {
    one->ppo.policy.schedule = one->ppo.critic.schedule = schedule::constant;
  }
  EXPECT_FALSE(falls_with_length(before, phase::ppo));
  EXPECT_EQ(changes(before, now, phase::ppo), lines{});
  EXPECT_EQ(job_digest(before, phase::ppo), job_digest(now, phase::ppo));
  EXPECT_EQ(length_differences(before, now, phase::ppo), lines{"ppo.iterations: 100 before, 60 now"});
}

TEST(PhaseOptions, InputsAreModelsAndDataOfThePhase) {
  const job before = plain();
  job now = before;
  now.model.policy = "/other";
  now.length.max_tokens = 99;
  now.ppo.clip = 0.1;
  now.reward.training.batch = 3;
  EXPECT_EQ(input_differences(before, now, phase::ppo),
            (lines{"model.policy: m before, other now", "length.max-tokens: 512 before, 99 now"}));
}

TEST(Division, AbsentPhasesLeaveTheirShares) {
  job j = plain();
  j.data[1].phases = {phase::sft, phase::reward, phase::ppo};
  j.run.phases = {phase::sft, phase::ppo};
  EXPECT_EQ(shares_for(j, j.data[1]), (split_shares{.sft = 2, .ppo = 4, .held_out = 0.5}));
  j.run.phases = {phase::sft};
  EXPECT_EQ(shares_for(j, j.data[1]), (split_shares{.sft = 2, .held_out = 0.5}));
  j.split.phases = {phase::reward};
  EXPECT_EQ(shares_for(j, j.data[1]), (split_shares{.sft = 2, .reward = 4, .held_out = 0.5}));
}

TEST(Division, ThoseThatTrainOnOthersPromptsHaveTheirShares) {
  job j = plain();
  j.data[1].phases = {phase::pairs, phase::ppo};
  j.run.phases = {phase::pairs};
  EXPECT_EQ(shares_for(j, j.data[1]), (split_shares{.sft = 2, .reward = 4, .held_out = 0.5}));
  j.run.phases = {phase::ppo};
  EXPECT_FALSE(shares_for(j, j.data[0]).any()) << "no phase of the run has a part in it";
  j.ppo.ptx_coef = 1;
  EXPECT_EQ(shares_for(j, j.data[0]), (split_shares{.sft = 2, .held_out = 0.5})) << "ppo mixes them in";
}

}  // namespace
}  // namespace troupe::io
