#include "kernels/join.hpp"
#include "support/naive_join.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace troupe::kernels {
namespace {

TEST(JoinTest, SumsEqualTheTreesDefinitionInEveryBit) {
  for (size_t ranks = 1; ranks <= 17; ++ranks) {
    for (const int64_t count : {0, 1, 31, 1024, 1025, 3000}) {
      const std::vector<std::vector<float>> piece_R = test::join_pieces_of(ranks, count);
      std::vector<float> sum(static_cast<size_t>(count));
      join_pieces(test::pointers_to(piece_R), count, sum.data());
      for (size_t i = 0; i < sum.size(); ++i) {
        const float expected = test::naive_join(piece_R, 0, ranks, i);
        ASSERT_EQ(std::memcmp(&sum[i], &expected, sizeof(float)), 0) << ranks << " ranks, value " << i;
      }
    }
  }
}

TEST(JoinTest, SmallTreesAreThoseOfTheLanes) {
  // 1 + 2^-24 rounds to 1, 2^-24 + 2^-24 does not vanish: which are joined first shows.
  const float one = 1;
  const float tiny = std::ldexp(1.0F, -24);
  const auto sum = [](const std::vector<float>& values) {
    std::vector<const float*> pieces_R;
    for (const float& value : values) {
      pieces_R.push_back(&value);
    }
    float joined = 0;
    join_pieces(pieces_R, 1, &joined);
    return joined;
  };
  EXPECT_EQ(sum({one, tiny, tiny}), 1.0F);                             // (0+1)+2
  EXPECT_EQ(sum({one, tiny, tiny, tiny}), one + (tiny + tiny));        // (0+1)+(2+3)
  EXPECT_EQ(sum({one, tiny, 0, 0, tiny, tiny}), one + (tiny + tiny));  // ((0+1)+(2+3))+(4+5)
  EXPECT_EQ(sum({one, 0, 0, 0, tiny, 0, tiny}), one + (tiny + tiny));  // (...)+((4+5)+6)
  EXPECT_EQ(sum({one, 0, 0, tiny, 0, 0, 0, 0, tiny}), 1.0F);           // 0..7, then 8
}

TEST(JoinTest, TheSumMayReplaceAnyPiece) {
  for (size_t replaced = 0; replaced < 5; ++replaced) {
    std::vector<std::vector<float>> piece_R = test::join_pieces_of(5, 2500);
    std::vector<float> expected(2500);
    join_pieces(test::pointers_to(piece_R), 2500, expected.data());
    join_pieces(test::pointers_to(piece_R), 2500, piece_R[replaced].data());
    EXPECT_EQ(piece_R[replaced], expected) << "piece " << replaced;
  }
}

}  // namespace
}  // namespace troupe::kernels
