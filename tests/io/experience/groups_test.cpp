// Which stored answers are learned from: against plain definitions, and at the edges (ties, NaN, groups of one).
#include "io/experience/groups.hpp"
#include "support/damage.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace troupe::io {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

struct samples {
  std::vector<uint64_t> group;
  std::vector<float> score;
  operator scored_samples() const { return {.group_M = group, .score_M = score}; }  // NOLINT
};

using pairs = std::vector<sample_pair>;
using chosen = std::vector<chosen_sample>;

TEST(Pairs, TheBestAgainstTheWorstOfEachGroup) {
  const samples of{{7, 7, 7, 3, 3}, {0.5F, 2, -1, 1, 4}};
  EXPECT_EQ(choose_pairs(of, {}), (pairs{{1, 2}, {4, 3}}));
}

TEST(Pairs, SamplesOfAGroupNeedNotBeNeighbours) {
  const samples of{{7, 3, 7, 3}, {1, 5, 0, 6}};
  EXPECT_EQ(choose_pairs(of, {}), (pairs{{0, 2}, {3, 1}}));
}

TEST(Pairs, TiesGroupsOfOneAndMarginsMakeNone) {
  EXPECT_TRUE(choose_pairs(samples{{1, 1, 2}, {3, 3, 9}}, {}).empty());
  EXPECT_TRUE(choose_pairs(samples{{1, 1}, {3, 4}}, {.margin = 1}).empty());
  EXPECT_EQ(choose_pairs(samples{{1, 1}, {3, 4.5F}}, {.margin = 1}), (pairs{{1, 0}}));
  EXPECT_TRUE(choose_pairs(samples{}, {}).empty());
}

TEST(Pairs, OfEqualsTheFirst) {
  const samples of{{1, 1, 1, 1}, {2, 0, 2, 0}};
  EXPECT_EQ(choose_pairs(of, {}), (pairs{{0, 1}}));
}

TEST(Pairs, WithoutAScoreInNone) {
  const samples of{{1, 1, 1}, {nan, 1, 0}};
  EXPECT_EQ(choose_pairs(of, {.per_group = 0}), (pairs{{1, 2}}));
  EXPECT_TRUE(choose_pairs(samples{{1, 1}, {nan, 1}}, {.per_group = 0}).empty());
}

TEST(Pairs, AllAreTheRankingTheWidestFirst) {
  const samples of{{1, 1, 1, 1}, {0, 3, 1, 3}};
  EXPECT_EQ(choose_pairs(of, {.per_group = 0}), (pairs{{1, 0}, {3, 0}, {1, 2}, {3, 2}, {2, 0}}));
  EXPECT_EQ(choose_pairs(of, {.per_group = 3}), (pairs{{1, 0}, {3, 0}, {1, 2}}));
  EXPECT_EQ(choose_pairs(of, {.per_group = 0, .margin = 1.5}), (pairs{{1, 0}, {3, 0}, {1, 2}, {3, 2}}));
}

TEST(Pairs, OneOfAGroupIsTheWidestOfAll) {
  std::mt19937 random(5);
  std::uniform_int_distribution<int> score(-3, 3);
  for (int round = 0; round < 200; ++round) {
    samples of;
    for (uint64_t i = 0; i < 12; ++i) {
      of.group.push_back(i % 2);
      of.score.push_back(i % 5 == 4 ? nan : static_cast<float>(score(random)));
    }
    pairs widest;
    for (const sample_pair& one : choose_pairs(of, {.per_group = 0, .margin = 1})) {
      const auto group = [&](const sample_pair& pair) { return of.group[static_cast<size_t>(pair.chosen)]; };
      if (widest.empty() || group(widest.back()) != group(one)) {
        widest.push_back(one);
      }
    }
    EXPECT_EQ(choose_pairs(of, {.margin = 1}), widest) << round;
  }
}

TEST(Pairs, OneOfALargeGroupNeedsNoPairsOfAll) {
  samples of;
  for (int i = 0; i < 200000; ++i) {  // which would be 40 thousand million pairs
    of.group.push_back(1);
    of.score.push_back(static_cast<float>(i));
  }
  EXPECT_EQ(choose_pairs(of, {}), (pairs{{199999, 0}}));
}

TEST(Samples, WithoutRulesEverySampleWeighsOne) {
  EXPECT_EQ(choose_samples(samples{{1, 2, 1}, {nan, 1, 0}}, {}), (chosen{{0, 1}, {1, 1}, {2, 1}}));
}

TEST(Samples, TheBestOfEachGroupInTheOrderOfTheSamples) {
  const samples of{{1, 1, 1, 2, 2, 3}, {0, 2, 2, nan, -5, nan}};
  EXPECT_EQ(choose_samples(of, {.best = 1}), (chosen{{1, 1}, {4, 1}}));
  EXPECT_EQ(choose_samples(of, {.best = 2}), (chosen{{1, 1}, {2, 1}, {4, 1}}));
  EXPECT_EQ(choose_samples(of, {.best = 9, .min_score = 0}), (chosen{{0, 1}, {1, 1}, {2, 1}}));
}

TEST(Samples, WeightsAreThoseOfTheFormula) {
  std::mt19937 random(3);
  std::normal_distribution<float> score(0, 3);
  samples of;
  for (uint64_t i = 0; i < 60; ++i) {
    of.group.push_back(i % 7);
    of.score.push_back(i % 11 == 0 ? nan : score(random));
  }
  const double tau = 0.8;
  const chosen weighted = choose_samples(of, {.temperature = tau});
  for (const chosen_sample& one : weighted) {
    const auto i = static_cast<size_t>(one.sample);
    double sum = 0, count = 0;
    for (size_t k = 0; k < of.group.size(); ++k) {
      if (of.group[k] == of.group[i] && !std::isnan(of.score[k])) {
        sum += of.score[k];
        ++count;
      }
    }
    ASSERT_FALSE(std::isnan(of.score[i]));
    EXPECT_NEAR(one.weight, std::min(20.0, std::exp((of.score[i] - sum / count) / tau)), 1e-9) << i;
  }
  EXPECT_EQ(weighted.size(), 60U - 6U);
}

TEST(Samples, AnInfiniteTemperatureWeighsExactlyOne) {
  for (const chosen_sample& one : choose_samples(samples{{1, 1, 1}, {0, 5, 1e30F}}, {.temperature = infinity})) {
    EXPECT_EQ(one.weight, 1.0);
  }
  EXPECT_EQ(choose_samples(samples{{1, 1}, {0, 100}}, {.temperature = 0.1})[1].weight, most_advantage_weight);
}

TEST(Samples, SizesMustAgree) {
  test::expect_error(errc::shape_mismatch, "2 samples have a group, 1 a score", [] {
    choose_samples(samples{{1, 2}, {0}}, {});
  });
  test::expect_error(errc::shape_mismatch, "2 samples have a group, 1 a score", [] {
    choose_pairs(samples{{1, 2}, {0}}, {});
  });
}

}  // namespace
}  // namespace troupe::io
