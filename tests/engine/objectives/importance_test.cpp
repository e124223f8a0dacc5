// Importance weights against formulas written out in double precision, one answer at a time.
#include "engine/objectives/importance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

struct answers {
  std::vector<int64_t> offset_B1 = {0};
  std::vector<float> now_A, old_A;
  std::vector<uint8_t> counts_A;
};

/// With answers of 0 to 9 tokens, some of which do not count.
answers random_answers(uint64_t seed, double spread) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> drift(0.0, spread);
  std::uniform_real_distribution<double> unit(0.0, 1.0);
  answers made;
  for (int b = 0; b < 40; ++b) {
    const bool counts = b % 7 != 0;
    for (int t = 0; t < b % 10; ++t) {
      const double old = -3 * unit(random);
      made.old_A.push_back(static_cast<float>(old));
      made.now_A.push_back(static_cast<float>(old + drift(random)));
      made.counts_A.push_back(counts ? 1 : 0);
    }
    made.offset_B1.push_back(static_cast<int64_t>(made.old_A.size()));
  }
  return made;
}

struct weighed {
  std::vector<float> weight_A;
  std::map<std::string, double> found;
};

weighed weigh(const answers& of, const importance_settings& settings) {
  weighed out{.weight_A = std::vector<float>(of.old_A.size(), -1.0F), .found = {}};
  out.found = importance_weights(settings, {.weight_A = out.weight_A,
                                            .logprob_now_A = of.now_A,
                                            .logprob_old_A = of.old_A,
                                            .offset_B1 = of.offset_B1,
                                            .counts_A = of.counts_A});
  return out;
}

/// The formulas of importance.hpp, each from its definition.
double oracle_weight(const answers& of, const importance_settings& s, size_t b, size_t a) {
  if (of.counts_A[a] == 0) {
    return 0;
  }
  double product = 1;
  double tokens = 0;
  for (auto t = static_cast<size_t>(of.offset_B1[b]); t < static_cast<size_t>(of.offset_B1[b + 1]); ++t) {
    product *= std::exp(static_cast<double>(of.now_A[t])) / std::exp(static_cast<double>(of.old_A[t]));
    ++tokens;
  }
  const double w = std::exp(static_cast<double>(of.now_A[a])) / std::exp(static_cast<double>(of.old_A[a]));
  const auto within = [&](double x) { return x >= s.low && x <= s.high; };
  switch (s.rule) {
  case importance_rule::none:
    return 1;
  case importance_rule::truncated:
    return std::min(std::max(w, s.low), s.high);
  case importance_rule::masked:
    return within(w) ? w : 0;
  case importance_rule::sequence_mask:
    return within(product) ? product : 0;
  case importance_rule::geometric_mask:
    return within(std::pow(product, 1 / tokens)) ? w : 0;
  }
  return -1;
}

constexpr importance_rule all_rules[] = {importance_rule::none, importance_rule::truncated, importance_rule::masked,
                                         importance_rule::sequence_mask, importance_rule::geometric_mask};

TEST(Importance, WeightsAreTheFormulas) {
  for (const uint64_t seed : {1U, 2U, 3U}) {
    const answers of = random_answers(seed, 0.4);
    for (const importance_rule rule : all_rules) {
      const importance_settings settings{rule, 0.8, 1.3};
      const weighed got = weigh(of, settings);
      int zeros = 0;
      for (size_t b = 0; b + 1 < of.offset_B1.size(); ++b) {
        for (auto a = static_cast<size_t>(of.offset_B1[b]); a < static_cast<size_t>(of.offset_B1[b + 1]); ++a) {
          const double wanted = oracle_weight(of, settings, b, a);
          EXPECT_NEAR(got.weight_A[a], wanted, 1e-6 * std::max(1.0, wanted)) << "rule " << static_cast<int>(rule);
          zeros += of.counts_A[a] != 0 && wanted == 0 ? 1 : 0;
        }
      }
      const double counted = static_cast<double>(std::count(of.counts_A.begin(), of.counts_A.end(), 1));
      EXPECT_NEAR(got.found.at("masked_share"), zeros / counted, 1e-12);
    }
  }
}

TEST(Importance, StatisticsAreTheFormulas) {
  const answers of = random_answers(7, 0.4);
  double n = 0;
  double sum = 0;
  double squares = 0;
  double k1 = 0;
  double k3 = 0;
  double farthest = 0;
  for (size_t a = 0; a < of.old_A.size(); ++a) {
    if (of.counts_A[a] == 0) {
      continue;
    }
    const double d = static_cast<double>(of.now_A[a]) - static_cast<double>(of.old_A[a]);
    ++n;
    sum += std::exp(d);
    squares += std::exp(2 * d);
    k1 -= d;
    k3 += std::exp(d) - 1 - d;
    farthest = std::max(farthest, std::abs(d));
  }
  const auto found = weigh(of, {importance_rule::truncated, 0, 1}).found;
  EXPECT_NEAR(found.at("ess_share"), sum * sum / (n * squares), 1e-12) << "of w before it is truncated";
  EXPECT_NEAR(found.at("chi2"), squares / n - 1, 1e-12);
  EXPECT_NEAR(found.at("behaviour_kl_nats"), k1 / n, 1e-12);
  EXPECT_NEAR(found.at("behaviour_kl_k3_nats"), k3 / n, 1e-12);
  EXPECT_NEAR(found.at("log_ratio_max"), farthest, 1e-12);
  EXPECT_LE(found.at("weight_max"), 1);
}

TEST(Importance, TheScoreOfTheNewPolicyIsEstimated) {
  const answers of = random_answers(11, 0.3);
  std::vector<float> score_B;
  double sum = 0;
  double weighed = 0;
  double squares = 0;
  double n = 0;
  for (size_t b = 0; b + 1 < of.offset_B1.size(); ++b) {
    score_B.push_back(static_cast<float>(b));
    double product = 1;
    double tokens = 0;
    for (auto a = static_cast<size_t>(of.offset_B1[b]); a < static_cast<size_t>(of.offset_B1[b + 1]); ++a) {
      product *=
          of.counts_A[a] != 0 ? std::exp(static_cast<double>(of.now_A[a]) - static_cast<double>(of.old_A[a])) : 1;
      tokens += of.counts_A[a];
    }
    if (tokens > 0) {
      ++n;
      sum += product;
      squares += product * product;
      weighed += product * static_cast<double>(b);
    }
  }
  std::vector<float> weight_A(of.old_A.size());
  const auto found = importance_weights(importance_of(importance_rule::truncated, 0, 0), {.weight_A = weight_A,
                                                                                          .logprob_now_A = of.now_A,
                                                                                          .logprob_old_A = of.old_A,
                                                                                          .offset_B1 = of.offset_B1,
                                                                                          .counts_A = of.counts_A,
                                                                                          .score_B = score_B});
  EXPECT_NEAR(found.at("score_estimate"), weighed / sum, 1e-9);
  EXPECT_NEAR(found.at("sequence_ess_share"), sum * sum / (n * squares), 1e-9);
}

TEST(Importance, AKnownSampleSize) {  // weights 0.5, 1, 2, 2: 5.5^2 / (4 * 9.25)
  answers of;
  for (const double w : {0.5, 1.0, 2.0, 2.0}) {
    of.old_A.push_back(-4.0F);
    of.now_A.push_back(static_cast<float>(-4.0 + std::log(w)));
    of.counts_A.push_back(1);
    of.offset_B1.push_back(static_cast<int64_t>(of.old_A.size()));
  }
  EXPECT_NEAR(weigh(of, {importance_rule::masked, 0.1, 10}).found.at("ess_share"), 0.8175676, 1e-6);
  EXPECT_NEAR(weigh(of, {importance_rule::sequence_mask, 0.1, 10}).found.at("ess_share"), 0.8175676, 1e-6)
      << "answers of one token: sequences are tokens";
}

TEST(Importance, TheSamePolicyWeighsOneExactly) {
  answers of = random_answers(5, 0.0);
  of.now_A = of.old_A;
  for (const importance_rule rule : all_rules) {
    const weighed got = weigh(of, importance_of(rule, 0, 0));
    for (size_t a = 0; a < of.old_A.size(); ++a) {
      EXPECT_EQ(got.weight_A[a], of.counts_A[a] != 0 ? 1.0F : 0.0F) << "rule " << static_cast<int>(rule);
    }
    EXPECT_EQ(got.found.at("ess_share"), 1.0);
    EXPECT_EQ(got.found.at("masked_share"), 0.0);
    EXPECT_EQ(got.found.at("behaviour_kl_nats"), 0.0);
  }
}

TEST(Importance, AWordThatHasBecomeImpossibleIsBounded) {
  answers of;
  of.old_A = {-1.0F};
  of.now_A = {-400.0F};
  of.counts_A = {1};
  of.offset_B1 = {0, 1};
  const weighed got = weigh(of, importance_of(importance_rule::truncated, 0, 0));
  EXPECT_LT(got.weight_A[0], 1e-8F);
  EXPECT_TRUE(std::isfinite(got.found.at("behaviour_kl_k3_nats")));
}

TEST(Importance, NothingThatCountsIsNoDistance) {
  answers of = random_answers(5, 0.4);
  std::fill(of.counts_A.begin(), of.counts_A.end(), uint8_t{0});
  const auto found = weigh(of, importance_of(importance_rule::masked, 0, 0)).found;
  EXPECT_EQ(found.at("ess_share"), 1.0);
  EXPECT_EQ(found.at("weight_mean"), 1.0);
}

TEST(Importance, BoundsAreTheRulesOwnUnlessGiven) {
  EXPECT_EQ(importance_of(importance_rule::masked, 0, 0).low, 0.5);
  EXPECT_EQ(importance_of(importance_rule::truncated, 0, 0).high, 2);
  EXPECT_EQ(importance_of(importance_rule::geometric_mask, 0.9, 1.1).high, 1.1);
}

}  // namespace
}  // namespace troupe::engine
