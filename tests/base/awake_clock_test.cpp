#include "base/awake_clock.hpp"

#include <gtest/gtest.h>

namespace troupe {

using namespace std::chrono_literals;

TEST(AwakeClock, CountsTimeBetweenLooksAndNotWhatWasMissed) {
  const awake_clock::clock::time_point start{100s};
  awake_clock awake(1s, start);
  EXPECT_EQ(awake.now(start + 1s), start + 1s);
  EXPECT_EQ(awake.now(start + 1900ms), start + 1900ms);
  EXPECT_EQ(awake.now(start + 61900ms), start + 1900ms) << "it stood still for a minute";
  EXPECT_EQ(awake.now(start + 62s), start + 2s);
  EXPECT_EQ(awake.now(start + 162s), start + 2s) << "and once more";
  EXPECT_EQ(awake.now(start + 163s), start + 3s);
}

TEST(AwakeClock, NeverGoesBack) {
  awake_clock awake(1ns);
  awake_clock::clock::time_point before = awake.now();
  for (int i = 0; i < 1000; ++i) {
    const awake_clock::clock::time_point now = awake.now();
    ASSERT_GE(now, before);
    before = now;
  }
}

}  // namespace troupe
