#include "engine/models/position_tables.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace troupe::engine {
namespace {

TEST(AlibiSlopesTest, HalveFromOneHalfForEightHeads) {
  const std::vector<float> expected{0.5F, 0.25F, 0.125F, 0.0625F, 0.03125F, 0.015625F, 0.0078125F, 0.00390625F};
  EXPECT_EQ(alibi_slopes(8), expected);
}

TEST(AlibiSlopesTest, TakeEverySecondOfTheNextPowerForOtherCounts) {
  // 12 heads: the 8 above, then 2^-0.5, 2^-1.5, 2^-2.5, 2^-3.5 of the 16-head sequence (as BLOOM's
  // own code)
  const std::vector<float> slopes = alibi_slopes(12);
  ASSERT_EQ(slopes.size(), 12U);
  EXPECT_FLOAT_EQ(slopes[0], 0.5F);
  EXPECT_FLOAT_EQ(slopes[7], 0.00390625F);
  EXPECT_FLOAT_EQ(slopes[8], 0.70710678F);
  EXPECT_FLOAT_EQ(slopes[9], 0.35355339F);
  EXPECT_FLOAT_EQ(slopes[10], 0.1767767F);
  EXPECT_FLOAT_EQ(slopes[11], 0.08838835F);
}

TEST(RotaryTablesTest, HoldCosineAndSineOfPositionTimesFrequency) {
  const rotary_tables tables = make_rotary_tables({.rotated = 4, .theta = 10000.0}, 9);
  ASSERT_EQ(tables.cos_PR2.size(), 9 * 2);
  EXPECT_FLOAT_EQ(tables.cos_PR2[0], 1.0F);
  EXPECT_FLOAT_EQ(tables.cos_PR2[8 * 2 + 0], std::cos(8.0F));
  EXPECT_FLOAT_EQ(tables.sin_PR2[8 * 2 + 1], std::sin(0.08F));
}

TEST(RotaryFrequenciesTest, AreDividedUnderLinearScaling) {
  const rotary_description plain{.rotated = 8, .theta = 500.0};
  rotary_description scaled = plain;
  scaled.scaling = rotary_scaling::linear;
  scaled.factor = 4;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_DOUBLE_EQ(rotary_frequencies(scaled)[i] * 4, rotary_frequencies(plain)[i]);
  }
}

TEST(RotaryFrequenciesTest, OfLlama3KeepShortWavesStretchLongOnesAndBlendBetween) {
  rotary_description r{.rotated = 128, .theta = 500000.0};
  const std::vector<double> plain = rotary_frequencies(r);
  r.scaling = rotary_scaling::llama3;
  r.factor = 8;
  r.low_frequency_factor = 1;
  r.high_frequency_factor = 4;
  r.original_positions = 8192;
  const std::vector<double> scaled = rotary_frequencies(r);
  size_t blended = 0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double wave = 2 * std::numbers::pi / plain[i];
    if (wave < 8192.0 / 4) {
      EXPECT_EQ(scaled[i], plain[i]);
    } else if (wave > 8192.0) {
      EXPECT_DOUBLE_EQ(scaled[i] * 8, plain[i]);
    } else {
      EXPECT_LT(scaled[i], plain[i]);
      EXPECT_GT(scaled[i] * 8, plain[i]);
      ++blended;
    }
  }
  EXPECT_GT(blended, 0U);
}

}  // namespace
}  // namespace troupe::engine
