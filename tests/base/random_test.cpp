#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace troupe {
namespace {

/// The seed that makes `philox_key` the key of purpose `test`: the purpose is mixed into the seed
/// by an addition.
random_key key_for(uint64_t philox_key, uint64_t stream) {
  const uint64_t mixed_in = 0x9E3779B97F4A7C15ULL * static_cast<uint32_t>(random_purpose::test);
  return {.seed = philox_key - mixed_in, .stream = stream, .purpose = random_purpose::test};
}

// Random123's kat_vectors, philox4x32 with 10 rounds.
TEST(RandomTest, WordsArePhiloxKnownAnswers) {
  using words = std::array<uint32_t, 4>;
  EXPECT_EQ(random_words(key_for(0, 0), 0), (words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(random_words(key_for(UINT64_MAX, UINT64_MAX), UINT64_MAX),
            (words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(random_words(key_for(0x299f31d0a4093822, 0x0370734413198a2e), 0x85a308d3243f6a88),
            (words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomTest, EveryPartOfTheKeyMatters) {
  const random_key key{.seed = 1, .stream = 2, .purpose = random_purpose::sampling};
  std::set<double> values = {random_uniform(key, 3), random_uniform(key, 4)};
  for (const uint64_t high : {uint64_t{1}, uint64_t{1} << 32}) {
    values.insert(random_uniform({key.seed + high, key.stream, key.purpose}, 3));
    values.insert(random_uniform({key.seed, key.stream + high, key.purpose}, 3));
  }
  values.insert(random_uniform({key.seed, key.stream, random_purpose::data_order}, 3));
  EXPECT_EQ(values.size(), 7U);
}

TEST(RandomTest, UniformAndNormalHaveTheirMoments) {
  const random_key key{.seed = 5};
  constexpr int count = 40000;
  double uniform_sum = 0;
  double normal_sum = 0;
  double normal_squares = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const double u = random_uniform(key, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    uniform_sum += u;
    const double z = random_normal(key, i);
    normal_sum += z;
    normal_squares += z * z;
  }
  EXPECT_NEAR(uniform_sum / count, 0.5, 0.01);
  EXPECT_NEAR(normal_sum / count, 0.0, 0.02);
  EXPECT_NEAR(normal_squares / count, 1.0, 0.03);
}

TEST(RandomTest, PermutationHoldsEveryIndexOnceAndDependsOnItsKey) {
  for (const int64_t n : {0, 1, 2, 1000}) {
    std::vector<int64_t> order = random_permutation({.seed = 7}, n);
    EXPECT_EQ(order, random_permutation({.seed = 7}, n));
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_EQ(order[static_cast<size_t>(i)], i);
    }
  }
  EXPECT_NE(random_permutation({.seed = 7}, 1000), random_permutation({.seed = 8}, 1000));
}

TEST(RandomTest, EveryPermutationOfThreeIsEquallyLikely) {
  std::map<std::vector<int64_t>, int> seen;
  constexpr int draws = 6000;
  for (uint64_t stream = 0; stream < draws; ++stream) {
    ++seen[random_permutation({.seed = 9, .stream = stream}, 3)];
  }
  EXPECT_EQ(seen.size(), 6U);
  for (const auto& [order, times] : seen) {
    EXPECT_NEAR(times, draws / 6, 150);  // five standard deviations
  }
}

}  // namespace
}  // namespace troupe
