#include "kernels/cuda/mark_line.hpp"

#include <gtest/gtest.h>

namespace troupe::kernels::cuda {
namespace {

TEST(MarkLine, AMomentHasItsEventUntilItHasPassed) {
  mark_line<char> line;
  EXPECT_EQ(line.find(0), std::nullopt) << "the beginning has passed";
  EXPECT_EQ(line.add('a'), 1U);
  EXPECT_EQ(line.add('b'), 2U);
  EXPECT_EQ(line.find(1), 'a');
  EXPECT_EQ(line.find(2), 'b');
  EXPECT_EQ(line.take_passed([](char event) { return event == 'b'; }), std::nullopt) << "moments pass in order";
  EXPECT_EQ(line.take_passed([](char event) { return event == 'a'; }), 'a');
  EXPECT_EQ(line.find(1), std::nullopt);
  EXPECT_EQ(line.find(2), 'b');
  EXPECT_EQ(line.add('a'), 3U) << "an event is used again under a new number";
  EXPECT_EQ(line.take_first(), 'b');
  EXPECT_EQ(line.find(3), 'a');
  EXPECT_EQ(line.take_first(), 'a');
  EXPECT_EQ(line.take_first(), std::nullopt);
}

}  // namespace
}  // namespace troupe::kernels::cuda
