// Lengths in tokens: their middle, and bins for their picture.
#include "jobs/lengths.hpp"

#include <gtest/gtest.h>

namespace troupe {
namespace {

TEST(Lengths, TheMedianIsTheOneInTheMiddle) {
  EXPECT_EQ(median_of({7}), 7);
  EXPECT_EQ(median_of({9, 1, 5}), 5);
  EXPECT_EQ(median_of({9, 1, 5, 6}), 6);
}

TEST(Lengths, HistogramsHaveRoundBinsThatHoldEachLengthOnce) {
  EXPECT_TRUE(histogram({}).empty());
  const auto one = histogram({7});
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0].low, 7);
  EXPECT_EQ(one[0].high, 7);
  const auto bins = histogram({3, 12, 12, 99});
  EXPECT_EQ(bins.front().low, 0);
  EXPECT_EQ(bins[0].high, 9);
  EXPECT_EQ(bins[1].count, 2);
  EXPECT_EQ(bins.back().count, 1);
  EXPECT_LE(bins.size(), 11U);
}

}  // namespace
}  // namespace troupe
