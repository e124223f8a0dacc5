// Answers whose reward could not be had: they are left out, as if the rollout had been one of the others alone.
#include "base/error.hpp"
#include "engine/train/experience.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace troupe::engine {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Answers of 2 tokens with these scores.
rollout_arrays rollout_of(const std::vector<float>& scores) {
  rollout_arrays rollout;
  rollout.score_B = scores;
  for (size_t b = 0; b < scores.size(); ++b) {
    rollout.finished_B.push_back(1);
    for (const float value : {0.25F, 0.5F}) {
      rollout.logprob_old_A.push_back(-value);
      rollout.logprob_ref_A.push_back(-0.5F);
      rollout.value_A.push_back(value);
    }
    rollout.answer_offset_B1.push_back(static_cast<int64_t>(rollout.value_A.size()));
  }
  return rollout;
}

experience_settings settings_of(reward_scaling scaling) {
  experience_settings settings;
  settings.scaling = {.kind = scaling, .centre = true};
  return settings;
}

TEST(Experience, AnswersWithoutRewardChangeNothingForTheOthers) {
  for (const reward_scaling scaling : {reward_scaling::none, reward_scaling::batch, reward_scaling::running}) {
    rollout_arrays with = rollout_of({1, nan, 3, -2});
    rollout_arrays without = rollout_of({1, 3, -2});
    moments seen_with{.count = 2, .mean = 1, .squares = 1};
    moments seen_without = seen_with;
    auto of_with = finish_experience(settings_of(scaling), seen_with, with);
    auto of_without = finish_experience(settings_of(scaling), seen_without, without);
    EXPECT_EQ(seen_with.count, seen_without.count);
    EXPECT_EQ(seen_with.mean, seen_without.mean);
    EXPECT_EQ(seen_with.squares, seen_without.squares);
    for (const char* name : {"reward/raw_mean", "reward/raw_std", "reward/shaped_mean", "advantage/mean",
                             "advantage/std", "return/mean", "kl/per_token_nats"}) {
      EXPECT_EQ(of_with.at(name), of_without.at(name)) << name;
    }
    EXPECT_EQ(of_with.at("reward/unscorable_share"), 0.25);
    EXPECT_EQ(of_without.at("reward/unscorable_share"), 0);
    EXPECT_EQ(with.counts_A, (std::vector<uint8_t>{1, 1, 0, 0, 1, 1, 1, 1}));
    size_t other = 0;
    for (size_t a = 0; a < with.reward_A.size(); ++a) {
      const bool scored = a / 2 != 1;
      EXPECT_EQ(with.reward_A[a], scored ? without.reward_A[other] : 0);
      EXPECT_EQ(with.advantage_A[a], scored ? without.advantage_A[other] : 0);
      EXPECT_EQ(with.learned_advantage_A[a], scored ? without.learned_advantage_A[other] : 0);
      EXPECT_EQ(with.return_A[a], scored ? without.return_A[other] : 0);
      other += scored ? 1 : 0;
    }
  }
}

TEST(Experience, WhereNoneHasARewardNoMeanIsReported) {
  rollout_arrays rollout = rollout_of({nan, nan});
  moments seen;
  const auto found = finish_experience(settings_of(reward_scaling::running), seen, rollout);
  EXPECT_FALSE(found.contains("reward/raw_mean"));
  EXPECT_EQ(found.at("reward/unscorable_share"), 1);
  EXPECT_EQ(seen.count, 0);
  EXPECT_EQ(rollout.counts_A, (std::vector<uint8_t>{0, 0, 0, 0}));
}

TEST(Experience, InfinityIsNoMissingReward) {
  rollout_arrays rollout = rollout_of({1, std::numeric_limits<float>::infinity()});
  moments seen;
  try {
    finish_experience(settings_of(reward_scaling::none), seen, rollout);
    FAIL();
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), errc::not_finite);
  }
}

}  // namespace
}  // namespace troupe::engine
