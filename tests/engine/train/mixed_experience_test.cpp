// Stored answers beside fresh ones, against a twin in double precision that is written from the definitions.
#include "engine/train/experience.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Answers of 1 to 6 tokens.
rollout_arrays random_rollout(uint64_t seed, int answers) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::uniform_real_distribution<float> unit(0.0F, 1.0F);
  rollout_arrays made;
  for (int b = 0; b < answers; ++b) {
    for (int t = 0; t <= b % 6; ++t) {
      made.logprob_old_A.push_back(-3 * unit(random));
      made.logprob_ref_A.push_back(-3 * unit(random));
      made.value_A.push_back(normal(random));
    }
    made.answer_offset_B1.push_back(static_cast<int64_t>(made.value_A.size()));
    made.finished_B.push_back(b % 4 != 1 ? 1 : 0);
    made.score_B.push_back(2 * normal(random));
  }
  return made;
}

/// Answers that a policy has sampled which the present one has moved away from; of one no reward could be had.
rollout_arrays stored_rollout(uint64_t seed, int answers) {
  rollout_arrays made = random_rollout(seed, answers);
  std::mt19937_64 random(seed + 1);
  std::normal_distribution<float> drift(0.0F, 0.5F);
  for (const float logprob : made.logprob_old_A) {
    made.logprob_start_A.push_back(std::min(0.0F, logprob + drift(random)));
  }
  made.score_B[3] = nan;
  return made;
}

experience_settings settings_of(reward_scaling scaling) {
  experience_settings settings;
  settings.scaling = {.kind = scaling, .centre = true};
  settings.shaping = {
      .kl_coefficient = 0.2, .estimator = kl_estimator::k1, .score_clip = 1.5, .missing_end_penalty = 0.25};
  settings.advantages = {.gamma = 0.97, .lambda = 0.9};
  settings.min_answer_tokens = 2;
  return settings;
}

/// What the stored answers are to be beside scores of this mean and spread.
struct twin {
  std::vector<double> reward_A, advantage_A, return_A, importance_A;
  std::vector<bool> counts_A;

  twin(const experience_settings& s, const rollout_arrays& of, double mean, double spread) {
    for (size_t b = 0; b < of.score_B.size(); ++b) {
      const auto first = static_cast<size_t>(of.answer_offset_B1[b]);
      const auto last = static_cast<size_t>(of.answer_offset_B1[b + 1]);
      const bool scored = !std::isnan(of.score_B[b]);
      double score = (of.score_B[b] - mean) / (spread + 1e-8);
      score = std::min(std::max(score, -s.shaping.score_clip), s.shaping.score_clip);
      score -= of.finished_B[b] != 0 ? 0.0 : s.shaping.missing_end_penalty;
      for (size_t a = first; a < last; ++a) {
        const double kl = static_cast<double>(of.logprob_old_A[a]) - of.logprob_ref_A[a];
        reward_A.push_back(scored ? -s.shaping.kl_coefficient * kl + (a + 1 == last ? score : 0.0) : 0.0);
        counts_A.push_back(scored && last - first >= 2);
        const double w = std::exp(static_cast<double>(of.logprob_start_A[a]) - of.logprob_old_A[a]);
        importance_A.push_back(counts_A[a] ? std::min(w, 2.0) : 0.0);
      }
      for (size_t a = first; a < last; ++a) {
        double advantage = 0;  // the sum of discounted temporal differences
        double factor = 1;
        for (size_t t = a; t < last; ++t) {
          const double next = t + 1 < last ? of.value_A[t + 1] : 0.0;
          advantage += factor * (reward_A[t] + s.advantages.gamma * next - of.value_A[t]);
          factor *= s.advantages.gamma * s.advantages.lambda;
        }
        advantage_A.push_back(scored ? advantage : 0.0);
        return_A.push_back(scored ? advantage + of.value_A[a] : 0.0);
      }
    }
  }
};

void expect_near(const std::vector<float>& found, size_t first, const std::vector<double>& wanted, const char* what) {
  ASSERT_EQ(found.size(), first + wanted.size()) << what;
  for (size_t a = 0; a < wanted.size(); ++a) {
    EXPECT_NEAR(found[first + a], wanted[a], 1e-5 * std::max(1.0, std::abs(wanted[a]))) << what << " " << a;
  }
}

template <class Value> std::vector<Value> head_of(const std::vector<Value>& all, size_t count) {
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)};
}

struct mixed {
  rollout_arrays fresh, both;
  std::map<std::string, double> found;
};

constexpr int fresh_answers = 20, stored_answers = 11;

mixed mix(const experience_settings& settings, moments seen) {
  mixed made;
  made.fresh = random_rollout(1, fresh_answers);
  finish_experience(settings, seen, made.fresh);
  made.both = made.fresh;
  made.found =
      mix_in(settings, importance_of(importance_rule::truncated, 0, 0), stored_rollout(2, stored_answers), made.both);
  return made;
}

class ScaledMix : public ::testing::TestWithParam<reward_scaling> {};

TEST_P(ScaledMix, IsThatOfTheTwin) {
  const experience_settings settings = settings_of(GetParam());
  const moments before{.count = 5, .mean = 0.5, .squares = 4};
  const mixed made = mix(settings, before);

  // The scale is that of the fresh scores, alone or with those before them.
  std::vector<double> scores(made.fresh.score_B.begin(), made.fresh.score_B.end());
  double n = static_cast<double>(scores.size());
  double sum = 0;
  double squares = 0;
  for (const double score : scores) {
    sum += score;
    squares += score * score;
  }
  if (GetParam() == reward_scaling::running) {
    n += 5;
    sum += 5 * 0.5;
    squares += 4 + 5 * 0.5 * 0.5;
  }
  const bool scaled = GetParam() != reward_scaling::none;
  const double mean = scaled ? sum / n : 0;
  const double spread = scaled ? std::sqrt(squares / n - mean * mean) : 1 - 1e-8;

  const twin wanted(settings, stored_rollout(2, stored_answers), mean, spread);
  const size_t first = made.fresh.logprob_old_A.size();
  expect_near(made.both.reward_A, first, wanted.reward_A, "reward");
  expect_near(made.both.advantage_A, first, wanted.advantage_A, "advantage");
  expect_near(made.both.return_A, first, wanted.return_A, "return");
  expect_near(made.both.importance_A, first, wanted.importance_A, "importance");
  for (size_t a = 0; a < wanted.counts_A.size(); ++a) {
    EXPECT_EQ(made.both.counts_A[first + a] != 0, wanted.counts_A[a]);
  }
  EXPECT_EQ(made.both.answer_offset_B1.size(), static_cast<size_t>(1 + fresh_answers + stored_answers));
  EXPECT_EQ(made.both.answer_offset_B1.back(), static_cast<int64_t>(made.both.advantage_A.size()));
  EXPECT_EQ(made.both.sequences(), fresh_answers + stored_answers);
}

TEST_P(ScaledMix, LeavesTheFreshAnswersAsTheyWereAndTheyWeighOneExactly) {
  const mixed made = mix(settings_of(GetParam()), {});
  const size_t tokens = made.fresh.logprob_old_A.size();
  EXPECT_EQ(head_of(made.both.reward_A, tokens), made.fresh.reward_A);
  EXPECT_EQ(head_of(made.both.advantage_A, tokens), made.fresh.advantage_A);
  EXPECT_EQ(head_of(made.both.return_A, tokens), made.fresh.return_A);
  EXPECT_EQ(head_of(made.both.logprob_start_A, tokens), made.fresh.logprob_old_A);
  EXPECT_EQ(head_of(made.both.importance_A, tokens), std::vector<float>(tokens, 1.0F));
}

INSTANTIATE_TEST_SUITE_P(Scalings, ScaledMix,
                         ::testing::Values(reward_scaling::none, reward_scaling::batch, reward_scaling::running));

TEST(MixedExperience, IsWhitenedTogether) {
  const mixed made = mix(settings_of(reward_scaling::none), {});
  double n = 0;
  double sum = 0;
  double squares = 0;
  for (size_t a = 0; a < made.both.counts_A.size(); ++a) {
    if (made.both.counts_A[a] != 0) {
      ++n;
      sum += made.both.learned_advantage_A[a];
      squares += made.both.learned_advantage_A[a] * made.both.learned_advantage_A[a];
    }
  }
  EXPECT_NEAR(sum / n, 0, 1e-6);
  EXPECT_NEAR(squares / n, 1, 1e-5);
}

TEST(MixedExperience, SaysHowFarTheOtherPolicyIs) {
  const mixed made = mix(settings_of(reward_scaling::none), {});
  const rollout_arrays stored = stored_rollout(2, stored_answers);
  const twin wanted(settings_of(reward_scaling::none), stored, 0, 1);
  double n = 0;
  double sum = 0;
  double squares = 0;
  double kl = 0;
  for (size_t a = 0; a < stored.logprob_old_A.size(); ++a) {
    if (wanted.counts_A[a]) {
      const double d = static_cast<double>(stored.logprob_start_A[a]) - stored.logprob_old_A[a];
      ++n;
      sum += std::exp(d);
      squares += std::exp(2 * d);
      kl -= d;
    }
  }
  EXPECT_NEAR(made.found.at("ess_share"), sum * sum / (n * squares), 1e-9);
  EXPECT_NEAR(made.found.at("behaviour_kl_nats"), kl / n, 1e-9);
  EXPECT_LE(made.found.at("weight_max"), 2);
}

TEST(MixedExperience, BesideAnswersOfAnOlderPolicyLeavesTheirWeights) {
  const experience_settings settings = settings_of(reward_scaling::none);
  rollout_arrays replayed = random_rollout(1, 4);
  moments seen;
  finish_experience(settings, seen, replayed);
  replayed.logprob_start_A.assign(replayed.logprob_old_A.size(), -0.5F);
  replayed.importance_A.assign(replayed.logprob_old_A.size(), 0.75F);
  rollout_arrays both = replayed;
  mix_in(settings, importance_of(importance_rule::truncated, 0, 0), stored_rollout(2, stored_answers), both);
  EXPECT_EQ(head_of(both.importance_A, replayed.importance_A.size()), replayed.importance_A);
  EXPECT_EQ(head_of(both.logprob_start_A, replayed.logprob_start_A.size()), replayed.logprob_start_A);
}

}  // namespace
}  // namespace troupe::engine
