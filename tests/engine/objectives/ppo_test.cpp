// PPO's arithmetic against reference values of a float64 PyTorch implementation
// (tests/data/tiny/README.md, "math").
#include "base/error.hpp"
#include "engine/objectives/ppo.hpp"
#include "support/ppo_fixture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

namespace troupe::engine {
namespace {

/// What the loss of a policy is computed from; `ref` may be empty.
struct loss_inputs {
  std::vector<float> logprob{-1.0F, -2.0F, -0.5F, -1.5F, -3.0F};
  std::vector<float> old{-1.3F, -2.1F, -0.4F, -1.5F, -2.2F};
  std::vector<float> ref{-1.1F, -1.8F, -0.9F, -1.2F, -3.3F};
  std::vector<float> advantage{0.7F, -0.3F, 1.1F, -0.8F, -0.6F};
  std::vector<float> entropy{1.5F, 2.0F, 0.7F, 1.2F, 2.5F};
  std::vector<int64_t> offsets{0, 2, 2, 5};
};

/// Its sums, and its gradients.
struct policy_loss {
  policy_loss(const policy_settings& settings, const loss_inputs& in, std::span<const double> weight) {
    std::vector<kernels::token_terms> terms(in.logprob.size());
    const kernels::token_loss loss{.kind = kernels::loss_kind::policy,
                                   .policy = settings,
                                   .logprob_old_N = in.old.data(),
                                   .advantage_N = in.advantage.data(),
                                   .logprob_ref_N = in.ref.empty() ? nullptr : in.ref.data(),
                                   .weight_N = weight.data(),
                                   .terms_N = terms.data()};
    for (size_t a = 0; a < terms.size(); ++a) {
      terms[a] = terms_of(loss, static_cast<int64_t>(a), in.logprob[a], in.entropy[a]);
      slope.push_back(terms[a].dlogprob);
      entropy_slope.push_back(terms[a].dentropy);
    }
    sums = policy_sums(loss, in.logprob, in.entropy);
  }

  policy_statistics sums;
  std::vector<float> slope, entropy_slope;
};

struct fixture_case {
  const char* path;
  const char* in;
  const char* out;
};

class PpoFixture : public testing::TestWithParam<fixture_case> {
protected:
  test::ppo_fixture f{GetParam().path, GetParam().in, GetParam().out};
  std::vector<float> old = f.answers(f.in + "old_logprobs");
  std::vector<float> ref = f.answers(f.in + "ref_logprobs");
  std::vector<float> advantage = f.advantages(f.out + "advantages");
  std::vector<float> returns = f.advantages(f.out + "returns");
  std::vector<float> fresh = f.answers(f.in + "new_logprobs");

  double number(const std::string& name) { return f.file.number(f.out + name); }
  std::vector<double> weights(loss_mean mean = loss_mean::token) {
    return answer_weights(mean, count_answers(f.offset_B1, f.counts), f.offset_B1, f.counts);
  }
  policy_statistics policy(const std::vector<float>& advantage_A) {
    policy_settings settings;
    settings.clip_low = settings.clip_high = f.file.constant("clip");
    return policy_loss(settings, {fresh, old, ref, advantage_A, std::vector<float>(old.size()), {}}, weights()).sums;
  }
};

void expect_near(const std::vector<float>& got, const std::vector<float>& expected, double limit) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], expected[i], limit) << "at " << i;
  }
}

TEST_P(PpoFixture, ShapedRewardsAreTheReferences) {
  std::vector<float> reward(old.size());
  reward_shaping settings;
  settings.kl_coefficient = f.file.constant("kl_coef");
  settings.score_clip = f.file.constant("reward_clip");
  const auto scores = f.file.floats(f.in + "scores");
  shape_rewards(settings, {reward, old, ref, f.offset_B1, scores, {}});
  expect_near(reward, f.answers(f.out + "rewards"), 1e-6);
}

TEST_P(PpoFixture, AdvantagesAndReturnsAreTheReferences) {
  std::vector<float> a(old.size()), r(old.size());
  const auto reward = f.answers(f.out + "rewards");
  const auto value = f.answers(f.out + "values_masked");
  gae({f.file.constant("gamma"), f.file.constant("lam")}, {a, r, reward, value, f.offset_B1});
  expect_near(a, advantage, 2e-6);
  expect_near(r, returns, 2e-6);
}

TEST_P(PpoFixture, WhitenedAdvantagesAreTheReferences) {
  std::vector<float> a = advantage;
  whiten(moments_of(a, f.counts), a, f.counts);
  expect_near(a, f.advantages(f.out + "advantages_whitened"), 2e-6);
}

TEST_P(PpoFixture, PolicyLossAndStatisticsAreTheReferences) {
  const policy_statistics s = policy(advantage);
  EXPECT_NEAR(s.loss, number("policy_loss"), 1e-5 * std::abs(number("policy_loss")));
  EXPECT_NEAR(s.clip_fraction(), number("clip_fraction"), 1e-12);
  EXPECT_NEAR(s.mean(s.k1_nats), number("approx_kl_k1"), 1e-6);
  EXPECT_NEAR(s.mean(s.k3_nats), number("approx_kl_k3"), 1e-6);
  const auto whitened = f.advantages(f.out + "advantages_whitened");
  const double expected = number("policy_loss_whitened");
  EXPECT_NEAR(policy(whitened).loss, expected, 1e-5 * std::abs(expected));
}

TEST_P(PpoFixture, KlToTheReferenceIsTheReferences) {
  double sums[3] = {0, 0, 0};
  double tokens = 0;
  for (size_t a = 0; a < old.size(); ++a) {
    if (f.counts[a] != 0) {
      const double x = static_cast<double>(old[a]) - ref[a];
      sums[0] += kl_estimate(kl_estimator::k1, x);
      sums[1] += kl_estimate(kl_estimator::k2, x);
      sums[2] += kl_estimate(kl_estimator::k3, x);
      tokens += 1;
    }
  }
  EXPECT_NEAR(sums[0] / tokens, number("ref_kl_k1"), 1e-6);
  EXPECT_NEAR(sums[1] / tokens, number("ref_kl_k2"), 1e-6);
  EXPECT_NEAR(sums[2] / tokens, number("ref_kl_k3"), 1e-6);
}

TEST_P(PpoFixture, ValueLossIsTheReferences) {
  const auto value = f.answers(f.in + "new_values");
  const auto old_value = f.answers(f.out + "values_masked");
  std::vector<float> dvalue(value.size());
  const value_statistics s = value_loss({f.file.constant("vclip")}, {dvalue, value, old_value, returns, weights()});
  EXPECT_NEAR(s.loss, number("value_loss"), 1e-5 * std::abs(number("value_loss")));
}

INSTANTIATE_TEST_SUITE_P(Files, PpoFixture,
                         testing::Values(fixture_case{"tiny/math/ppo.safetensors", "", "out."},
                                         fixture_case{"tiny/llama/rlhf.safetensors", "ppo.", "ppo."},
                                         fixture_case{"tiny/opt/rlhf.safetensors", "ppo.", "ppo."}));

TEST(PolicyLoss, GradientThroughTheSoftmaxIsTheReference) {
  const test::ppo_fixture f("tiny/math/ppo.safetensors", "", "out.");
  const auto old = f.answers("old_logprobs");
  const auto fresh = f.answers("new_logprobs");
  const auto advantage = f.advantages("out.advantages");
  const auto weight = answer_weights(loss_mean::token, count_answers(f.offset_B1, f.counts), f.offset_B1, f.counts);
  const policy_loss loss({}, {fresh, old, {}, advantage, std::vector<float>(old.size()), {}}, weight);

  const auto shape = f.file.shape("new_logits");
  const auto logits = f.file.doubles("new_logits");
  const auto ids = f.file.integers("input_ids");
  const auto expected = f.file.doubles("out.grad_logits");
  const int64_t width = shape[2];
  std::vector<double> got(expected.size(), 0.0);
  for (size_t a = 0; a < f.index.size(); ++a) {
    const int64_t b = f.index[a] / (f.length - 1);
    const int64_t t = f.index[a] % (f.length - 1);
    const size_t row = static_cast<size_t>((b * f.length + t) * width);
    double sum = 0;
    for (int64_t v = 0; v < width; ++v) {
      sum += std::exp(logits[row + v]);
    }
    for (int64_t v = 0; v < width; ++v) {
      const double hit = v == ids[static_cast<size_t>(b * f.length + t + 1)] ? 1.0 : 0.0;
      got[row + v] = loss.slope[a] * (hit - std::exp(logits[row + v]) / sum);
    }
  }
  double apart = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    apart += (got[i] - expected[i]) * (got[i] - expected[i]);
    size += expected[i] * expected[i];
  }
  ASSERT_GT(size, 0);
  EXPECT_LT(std::sqrt(apart / size), 1e-5);
}

TEST(ValueLoss, GradientIsTheReference) {
  const test::ppo_fixture f("tiny/math/ppo.safetensors", "", "out.");
  const auto value = f.answers("new_values");
  std::vector<float> dvalue(value.size());
  const auto weight = answer_weights(loss_mean::token, count_answers(f.offset_B1, f.counts), f.offset_B1, f.counts);
  value_loss({}, {dvalue, value, f.answers("out.values_masked"), f.advantages("out.returns"), weight});
  const auto expected = f.answers("out.grad_values");
  for (size_t a = 0; a < value.size(); ++a) {
    EXPECT_NEAR(dvalue[a], expected[a], 1e-6) << "at " << a;
  }
}

/// The loss in plain double precision, with the KL term's ratio and its derivative by the formula of the header: the
/// ratio of `of` weighs the term and is held where it is.
double oracle_loss(const policy_settings& settings, const loss_inputs& in, const loss_inputs& of,
                   std::span<const double> weight) {
  double loss = 0;
  for (size_t a = 0; a < in.logprob.size(); ++a) {
    const double ratio = std::exp(static_cast<double>(in.logprob[a]) - in.old[a]);
    const double kept = std::exp(static_cast<double>(of.logprob[a]) - in.old[a]);
    const double clipped = std::clamp(ratio, 1 - settings.clip_low, 1 + settings.clip_high);
    const double x = static_cast<double>(in.logprob[a]) - in.ref[a];
    // k3+ is told by its derivative: that of k2.
    const kl_estimator by = settings.estimator == kl_estimator::k3_plus ? kl_estimator::k2 : settings.estimator;
    loss += weight[a] *
            (std::max(-in.advantage[a] * ratio, -in.advantage[a] * clipped) +
             settings.kl_coefficient * kept * kl_estimate(by, x) - settings.entropy_coefficient * in.entropy[a]);
  }
  return loss;
}

TEST(PolicyLoss, EveryTermsGradientMatchesCentralDifferences) {
  const loss_inputs base;
  for (const kl_estimator estimator : {kl_estimator::k1, kl_estimator::k2, kl_estimator::k3, kl_estimator::k3_plus}) {
    for (const loss_mean mean : {loss_mean::token, loss_mean::sequence}) {
      const policy_settings settings{0.2, 0.3, 0.05, 0.4, estimator};
      const auto weight = answer_weights(mean, count_answers(base.offsets), base.offsets);
      const auto loss_of = [&](const loss_inputs& in) { return policy_loss(settings, in, weight).sums.loss; };
      const policy_loss loss(settings, base, weight);
      if (estimator != kl_estimator::k3_plus) {
        EXPECT_NEAR(loss.sums.loss, oracle_loss(settings, base, base, weight), 1e-12);
      }
      for (size_t a = 0; a < 5; ++a) {
        const float h = 1e-3F;
        loss_inputs up = base, down = base;
        up.logprob[a] += h;
        down.logprob[a] -= h;
        const double wide = static_cast<double>(up.logprob[a]) - down.logprob[a];
        const double rise = oracle_loss(settings, up, base, weight) - oracle_loss(settings, down, base, weight);
        EXPECT_NEAR(loss.slope[a], rise / wide, 1e-6);
        up = down = base;
        up.entropy[a] += h;
        down.entropy[a] -= h;
        const double tall = static_cast<double>(up.entropy[a]) - down.entropy[a];
        EXPECT_NEAR(loss.entropy_slope[a], (loss_of(up) - loss_of(down)) / tall, 1e-6);
      }
    }
  }
}

TEST(PolicyLoss, ValueOfK3PlusIsThatOfK3) {
  const loss_inputs base;
  const auto weight = answer_weights(loss_mean::token, count_answers(base.offsets), base.offsets);
  const double k3 = policy_loss({0.2, 0.3, 0.05, 0.4, kl_estimator::k3}, base, weight).sums.loss;
  EXPECT_EQ(policy_loss({0.2, 0.3, 0.05, 0.4, kl_estimator::k3_plus}, base, weight).sums.loss, k3);
}

/// A policy over three tokens, by its logits, and what the KL term of the loss does to it: its mean gradient by the
/// logits over tokens that `drawn` has drawn, computed exactly.
std::array<double, 3> mean_kl_gradient(kl_estimator estimator, const std::array<double, 3>& policy,
                                       const std::array<double, 3>& drawn, const std::array<double, 3>& reference) {
  std::array<double, 3> gradient{};
  for (size_t token = 0; token < 3; ++token) {
    loss_inputs in;
    in.logprob = {static_cast<float>(std::log(policy[token]))};
    in.old = {static_cast<float>(std::log(drawn[token]))};
    in.ref = {static_cast<float>(std::log(reference[token]))};
    in.advantage = {0.0F};
    in.entropy = {0.0F};
    const std::vector<double> weight = {1.0};
    const policy_loss loss({.kl_coefficient = 1, .estimator = estimator}, in, weight);
    for (size_t logit = 0; logit < 3; ++logit) {
      gradient[logit] += drawn[token] * loss.slope[0] * ((logit == token ? 1.0 : 0.0) - policy[logit]);
    }
  }
  return gradient;
}

TEST(PolicyLoss, KlTermMovesThePolicyToTheReferenceByK2AndNotByK1) {
  const std::array<double, 3> policy = {0.6, 0.3, 0.1}, older = {0.4, 0.35, 0.25}, reference = {0.2, 0.3, 0.5};
  // d KL(policy || reference) / d logit_l = policy_l (log(policy_l / reference_l) - KL)
  double kl = 0;
  for (size_t i = 0; i < 3; ++i) {
    kl += policy[i] * std::log(policy[i] / reference[i]);
  }
  for (const auto& drawn : {policy, older}) {  // fresh samples, and reused ones
    const auto k1 = mean_kl_gradient(kl_estimator::k1, policy, drawn, reference);
    const auto k2 = mean_kl_gradient(kl_estimator::k2, policy, drawn, reference);
    const auto k3_plus = mean_kl_gradient(kl_estimator::k3_plus, policy, drawn, reference);
    for (size_t i = 0; i < 3; ++i) {
      const double truth = policy[i] * (std::log(policy[i] / reference[i]) - kl);
      EXPECT_NEAR(k1[i], 0, 1e-6);
      EXPECT_NEAR(k2[i], truth, 1e-6);
      EXPECT_NEAR(k3_plus[i], truth, 1e-6);
    }
  }
}

TEST(PolicyLoss, SequenceMeanWeighsAnswersEqually) {
  const std::vector<int64_t> offsets{0, 2, 2, 5};
  const auto weight = answer_weights(loss_mean::sequence, count_answers(offsets), offsets);
  EXPECT_NEAR(weight[0] + weight[1], 0.5, 1e-15);  // the empty answer is no sequence
  EXPECT_NEAR(weight[2] + weight[3] + weight[4], 0.5, 1e-15);
}

TEST(PolicyLoss, EqualLogProbsAreCountedAsEqualToTheLastBit) {
  loss_inputs in;
  in.old = in.logprob;
  in.old[3] = std::nextafter(in.old[3], 0.0F);
  const auto weight = answer_weights(loss_mean::token, count_answers(in.offsets), in.offsets);
  EXPECT_EQ(policy_loss({}, in, weight).sums.different, 1);
}

TEST(PolicyLoss, NanIsAnError) {
  loss_inputs in;
  in.logprob[1] = NAN;
  auto weight = answer_weights(loss_mean::token, count_answers(in.offsets), in.offsets);
  EXPECT_THROW(policy_loss({}, in, weight), error);
  weight[1] = 0;
  EXPECT_EQ(policy_loss({}, in, weight).sums.tokens, 4) << "a token that does not count";
}

TEST(PolicyLoss, MissingGlobalCountsAreAnError) {
  const std::vector<int64_t> offsets{0, 2};
  EXPECT_THROW(answer_weights(loss_mean::token, {}, offsets), error);
  EXPECT_TRUE(answer_weights(loss_mean::token, {}, std::vector<int64_t>{0, 0, 0}).empty());
}

TEST(ShapeRewards, UnfinishedAnswersPayThePenaltyAfterClipping) {
  std::vector<float> reward(3);
  reward_shaping settings;
  settings.kl_coefficient = 0;
  settings.score_clip = 5;
  settings.missing_end_penalty = 1;
  const std::vector<int64_t> offsets{0, 1, 1, 3};
  const std::vector<float> score{9.0F, 4.0F, -2.0F};
  const std::vector<uint8_t> finished{0, 1, 1};
  shape_rewards(settings, {reward, {}, {}, offsets, score, finished});
  EXPECT_EQ(reward, (std::vector<float>{4.0F, 0.0F, -2.0F}));
}

TEST(ShapeRewards, MismatchedAndBadInputAreErrors) {
  std::vector<float> reward(2);
  const std::vector<int64_t> offsets{0, 2}, wrong{0, 3};
  const std::vector<float> score{1.0F}, bad{INFINITY}, logprob{-1.0F, -1.0F};
  EXPECT_THROW(shape_rewards({}, {reward, {}, {}, offsets, score, {}}), error);
  EXPECT_THROW(shape_rewards({}, {reward, logprob, logprob, wrong, score, {}}), error);
  EXPECT_THROW(shape_rewards({}, {reward, logprob, logprob, offsets, bad, {}}), error);
}

TEST(ScaleRewards, RunningStatisticsAreThoseOfAllScoresSoFar) {
  std::vector<float> all{1.0F, 5.0F, -2.0F, 4.0F, 0.5F}, first(all.begin(), all.begin() + 2),
      second(all.begin() + 2, all.end());
  moments seen;
  scale_rewards({reward_scaling::running, true}, seen, first);
  scale_rewards({reward_scaling::running, true}, seen, second);
  const double mean = std::accumulate(all.begin(), all.end(), 0.0) / 5;
  double squares = 0;
  for (const float x : all) {
    squares += (x - mean) * (x - mean);
  }
  EXPECT_NEAR(seen.mean, mean, 1e-12);
  EXPECT_NEAR(seen.squares, squares, 1e-12);
  EXPECT_NEAR(second[1], (4.0 - mean) / std::sqrt(squares / 5), 1e-6);
}

TEST(ScaleRewards, EqualScoresKeepTheirScale) {
  std::vector<float> score{2.0F, 2.0F};
  moments seen;
  scale_rewards({reward_scaling::batch}, seen, score);
  EXPECT_EQ(score, (std::vector<float>{2.0F, 2.0F}));
}

TEST(KlEstimate, GradientsMatchCentralDifferences) {
  for (const kl_estimator kind : {kl_estimator::k1, kl_estimator::k2, kl_estimator::k3}) {
    for (const double x : {-1.5, -0.01, 0.0, 0.3, 2.0}) {
      const double slope = (kl_estimate(kind, x + 1e-6) - kl_estimate(kind, x - 1e-6)) / 2e-6;
      EXPECT_NEAR(kl_gradient(kind, x), slope, 1e-8);
    }
  }
}

TEST(KlController, MovesTowardsItsTargetAndStaysWhereFixed) {
  kl_controller_settings settings{0.1, true, 6.0, 1000.0};
  kl_controller_state state{0.1};
  update_kl_controller(settings, state, 60.0, 100);  // the miss is clipped to 0.2
  EXPECT_DOUBLE_EQ(state.coefficient, 0.1 * (1 + 0.2 * 0.1));
  update_kl_controller(settings, state, 5.4, 100);
  EXPECT_DOUBLE_EQ(state.coefficient, 0.1 * (1 + 0.2 * 0.1) * (1 + (5.4 / 6.0 - 1.0) * 0.1));
  EXPECT_THROW(update_kl_controller(settings, state, NAN, 100), error);
  settings.adaptive = false;
  const double before = state.coefficient;
  update_kl_controller(settings, state, 60.0, 100);
  EXPECT_EQ(state.coefficient, before);
}

TEST(KlController, KeepsItsCoefficientAboveZeroWhateverTheHorizon) {
  const kl_controller_settings settings{0.1, true, 6.0, 8.0};
  kl_controller_state state{0.1};
  update_kl_controller(settings, state, 0.0, 512);  // 1 - 0.2 * 512 / 8 would be far below zero
  EXPECT_DOUBLE_EQ(state.coefficient, 0.1 * 0.8);
  update_kl_controller(settings, state, 60.0, 512);
  EXPECT_DOUBLE_EQ(state.coefficient, 0.1 * 0.8 * 1.2);
}

TEST(ValueStatistics, ExplainedVarianceDoesNotDependOnTheSplit) {
  const std::vector<float> value{0.1F, 0.5F, -0.2F, 0.9F}, old = value, target{0.0F, 0.7F, -0.5F, 1.0F};
  const std::vector<double> weight(4, 0.25);
  std::vector<float> dvalue(4);
  const value_statistics whole = value_loss({}, {dvalue, value, old, target, weight});
  value_statistics parts;
  for (size_t first : {0, 3}) {
    const size_t count = first == 0 ? 3 : 1;
    const auto part = [&](auto& all) { return std::span(all).subspan(first, count); };
    parts.add(value_loss({}, {part(dvalue), part(value), part(old), part(target), part(weight)}));
  }
  EXPECT_NEAR(parts.explained_variance(), whole.explained_variance(), 1e-12);
  EXPECT_NEAR(parts.loss, whole.loss, 1e-15);
  EXPECT_GT(whole.explained_variance(), 0.8);
  EXPECT_LT(whole.explained_variance(), 1.0);
}

}  // namespace
}  // namespace troupe::engine
