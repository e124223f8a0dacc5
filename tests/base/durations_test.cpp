#include "base/durations.hpp"

#include <gtest/gtest.h>

namespace troupe::io {

TEST(Durations, AreInTheLargestUnitOfWhichThereAreAboutTwo) {
  EXPECT_EQ(duration_text(0), "0.0 s");
  EXPECT_EQ(duration_text(0.26), "0.3 s");
  EXPECT_EQ(duration_text(95.4), "95 s");
  EXPECT_EQ(duration_text(120), "2 min");
  EXPECT_EQ(duration_text(45 * 60), "45 min");
  EXPECT_EQ(duration_text(7.52 * 3600), "7.5 h");
  EXPECT_EQ(duration_text(80 * 3600), "3.3 days");
}

}  // namespace troupe::io
