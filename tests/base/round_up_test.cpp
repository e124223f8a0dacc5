#include "base/round_up.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace troupe {
namespace {

TEST(RoundUpTest, WholePiecesHoldTheCountAndNoPieceIsEmpty) {
  for (const int64_t each : {1, 2, 7, 64}) {
    for (int64_t count = 0; count <= 200; ++count) {
      const int64_t pieces = divide_up(count, each);
      EXPECT_GE(pieces * each, count);
      EXPECT_LT((pieces - 1) * each, count);
      EXPECT_EQ(round_up(count, each), pieces * each);
    }
  }
}

}  // namespace
}  // namespace troupe
