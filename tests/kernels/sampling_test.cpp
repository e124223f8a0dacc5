#include "base/error.hpp"
#include "kernels/log_prob.hpp"
#include "kernels/sampling.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe::kernels {
namespace {

using test::random_values;

sampled_token sample(std::vector<float> logits, const sampling_settings& settings, double uniform,
                     const std::vector<int32_t>& context = {}) {
  sampling_scratch scratch;
  return sample_token(logits, settings, context, uniform, scratch);
}

/// Inverse transform in double by a full sort, from the documentation alone.
int32_t oracle(const std::vector<float>& logits, const sampling_settings& s, double uniform,
               const std::vector<int32_t>& context = {}) {
  std::vector<double> p(logits.begin(), logits.end());
  for (size_t v = 0; v < p.size(); ++v) {
    if (std::count(context.begin(), context.end(), static_cast<int32_t>(v)) > 0) {
      p[v] = p[v] > 0 ? p[v] / s.repetition_penalty : p[v] * s.repetition_penalty;
    }
  }
  const double top = *std::max_element(p.begin(), p.end());
  for (double& value : p) {
    value = std::exp((value - top) / s.temperature);
  }
  std::vector<int32_t> order(p.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return p[static_cast<size_t>(a)] > p[static_cast<size_t>(b)]; });
  if (s.top_k > 0 && static_cast<size_t>(s.top_k) < order.size()) {
    order.resize(static_cast<size_t>(s.top_k));
  }
  const auto mass = [&] {
    double sum = 0;
    for (const int32_t v : order) {
      sum += p[static_cast<size_t>(v)];
    }
    return sum;
  };
  const double all = mass();
  double below = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    below += p[static_cast<size_t>(order[rank])];
    if (s.top_p < 1 && below >= s.top_p * all) {
      order.resize(rank + 1);
    }
  }
  std::erase_if(order,
                [&](int32_t v) { return p[static_cast<size_t>(v)] < s.min_p * p[static_cast<size_t>(order[0])]; });
  const double kept = mass();
  below = 0;
  for (const int32_t v : order) {
    below += p[static_cast<size_t>(v)];
    if (below > uniform * kept) {
      return v;
    }
  }
  return order.back();
}

TEST(GreedyTest, TiesGoToTheLowestId) {
  const std::vector<float> logits = {0.0F, 2.0F, -1.0F, 2.0F, 2.0F};
  EXPECT_EQ(sample(logits, {.temperature = 0}, 0.99).token, 1);
}

TEST(GreedyTest, LogprobIsAtTemperatureOne) {
  std::vector<float> logits = random_values(500, 1, 3);
  const sampled_token sampled = sample(logits, {.temperature = 0}, 0.5);
  const auto s = log_softmax_row(logits.data(), 500, 1.0F);
  EXPECT_EQ(sampled.logprob, log_prob_of(logits.data(), s, sampled.token));
  EXPECT_EQ(logits[static_cast<size_t>(sampled.token)], *std::max_element(logits.begin(), logits.end()));
}

TEST(GreedyTest, PenaltyChangesTheChoiceButNotTheLogprob) {
  const std::vector<float> logits = {1.0F, 4.0F, 3.0F};
  const sampled_token sampled = sample(logits, {.temperature = 0, .repetition_penalty = 2}, 0.5, {1, 1, 1});
  EXPECT_EQ(sampled.token, 2);
  EXPECT_NEAR(sampled.logprob, 3 - std::log(std::exp(1) + std::exp(4) + std::exp(3)), 1e-6);
}

TEST(GreedyTest, PenaltyLowersNegativeLogitsToo) {
  const std::vector<float> logits = {-2.0F, -3.0F};
  EXPECT_EQ(sample(logits, {.temperature = 0, .repetition_penalty = 2}, 0, {0}).token, 1);
}

struct named_settings {
  const char* name;
  sampling_settings settings;
};

class SamplingTest : public testing::TestWithParam<named_settings> {};

TEST_P(SamplingTest, ChoiceMatchesTheOracle) {
  const sampling_settings& s = GetParam().settings;
  const std::vector<int32_t> context = {3, 3, 17, 0};
  for (const int64_t vocabulary : {1, 31, 200, 3000}) {
    for (const double spread : {0.5, 8.0}) {
      if (vocabulary == 1) {
        EXPECT_EQ(sample({0.5F}, s, 0.7).token, 0);
        continue;
      }
      const auto logits = random_values(vocabulary, static_cast<uint64_t>(vocabulary), spread);
      // Not nearer to 1: there a token weighs less than the rounding of float32 log-probabilities.
      for (const double uniform : {0.0, 0.01, 0.3, 0.5, 0.77, 0.9, 0.99, 0.999}) {
        EXPECT_EQ(sample(logits, s, uniform, context).token, oracle(logits, s, uniform, context))
            << vocabulary << " tokens, spread " << spread << ", uniform " << uniform;
      }
    }
  }
}

TEST_P(SamplingTest, LogprobIsBeforeEveryFilter) {
  const sampling_settings& s = GetParam().settings;
  const auto logits = random_values(400, 7, 4);
  const sampled_token sampled = sample(logits, s, 0.6, {1, 2, 3});
  std::vector<float> scaled = logits;
  const auto statistics = log_softmax_row(scaled.data(), 400, s.temperature);
  EXPECT_EQ(sampled.logprob, log_prob_of(scaled.data(), statistics, sampled.token));
}

INSTANTIATE_TEST_SUITE_P(
    Settings, SamplingTest,
    testing::Values(
        named_settings{"Plain", {}}, named_settings{"Hot", {.temperature = 2.5F}},
        named_settings{"Cold", {.temperature = 0.1F}}, named_settings{"TopOne", {.top_k = 1}},
        named_settings{"TopFifty", {.top_k = 50}}, named_settings{"TopP", {.top_p = 0.9F}},
        named_settings{"TinyTopP", {.top_p = 1e-6F}}, named_settings{"MinP", {.min_p = 0.05F}},
        named_settings{"OnlyTheBest", {.min_p = 1}}, named_settings{"Penalty", {.repetition_penalty = 1.3F}},
        named_settings{"All",
                       {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F, .min_p = 0.02F, .repetition_penalty = 1.1F}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SamplingEdgeTest, TiesAreInOrderOfId) {
  const std::vector<float> logits(8, 1.0F);
  for (int32_t v = 0; v < 8; ++v) {
    EXPECT_EQ(sample(logits, {}, v / 8.0 + 0.01).token, v);
    EXPECT_EQ(sample(logits, {.top_k = 4}, v / 8.0 + 0.01).token, v / 2);
  }
}

TEST(SamplingEdgeTest, NeverDrawsAnImpossibleToken) {
  std::vector<float> logits = {-INFINITY, 0.0F, -1e4F, -INFINITY};
  EXPECT_EQ(sample(logits, {}, std::nextafter(1.0, 0.0)).token, 1);
}

TEST(SamplingEdgeTest, FrequenciesFollowTheProbabilities) {
  const std::vector<float> logits = {std::log(0.1F), std::log(0.6F), std::log(0.3F)};
  std::vector<int> count(3);
  const random_key key{.seed = 5};
  constexpr int draws = 20000;
  for (uint64_t i = 0; i < draws; ++i) {
    ++count[static_cast<size_t>(sample(logits, {}, random_uniform(key, i)).token)];
  }
  EXPECT_NEAR(count[0], draws * 0.1, 250);  // six standard deviations are 255, 416, 389
  EXPECT_NEAR(count[1], draws * 0.6, 410);
  EXPECT_NEAR(count[2], draws * 0.3, 385);
}

TEST(SamplingArgumentsTest, NonsenseIsAnError) {
  const std::vector<float> logits = {1.0F, 2.0F};
  EXPECT_THROW(sample({}, {}, 0.5), error);
  EXPECT_THROW(sample(logits, {}, 1.0), error);
  EXPECT_THROW(sample(logits, {.temperature = -1}, 0.5), error);
  EXPECT_THROW(sample(logits, {.top_k = -1}, 0.5), error);
  EXPECT_THROW(sample(logits, {.top_p = 0}, 0.5), error);
  EXPECT_THROW(sample(logits, {.min_p = 1.5F}, 0.5), error);
  EXPECT_THROW(sample(logits, {.repetition_penalty = 0}, 0.5), error);
  EXPECT_THROW(sample(logits, {}, 0.5, {2}), error);
}

TEST(SamplingArgumentsTest, LogitsThatAreNotFiniteAreAnError) {
  for (const float bad : {NAN, INFINITY}) {
    try {
      sample({1.0F, bad, 0.0F}, {}, 0.5);
      ADD_FAILURE() << "sampled from logits with " << bad;
    } catch (const error& e) {
      EXPECT_EQ(e.code(), errc::not_finite);
    }
  }
}

}  // namespace
}  // namespace troupe::kernels
