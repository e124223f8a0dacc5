#include "base/error.hpp"
#include "kernels/join.hpp"
#include "support/emulation/card_test.hpp"
#include "support/errors.hpp"
#include "support/naive_join.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::kernels {
namespace {

class CudaJoinTest : public testing::TestWithParam<emulation::thread_order> {
protected:
  thread_pool pool{1};
  std::unique_ptr<device> card = emulation::make_card({.threads = {.order = GetParam(), .seed = 11}});
  context on_card{pool, card.get()};
};

TEST_P(CudaJoinTest, SumsHaveTheBitsOfTheHostAndOfTheTreesDefinition) {
  for (const size_t ranks : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 17, 100, 255, 256}) {
    const int64_t count = 300;
    const std::vector<std::vector<float>> piece_R = test::join_pieces_of(ranks, count);
    std::vector<float> sum(static_cast<size_t>(count)), host(sum), want;
    join_pieces(on_card, test::pointers_to(piece_R), count, sum.data());
    join_pieces(test::pointers_to(piece_R), count, host.data());
    for (size_t i = 0; i < sum.size(); ++i) {
      want.push_back(test::naive_join(piece_R, 0, ranks, i));
    }
    EXPECT_EQ(sum, want) << ranks;
    EXPECT_EQ(sum, host) << ranks;
  }
}

TEST_P(CudaJoinTest, TheSumMayReplaceAnyPiece) {
  for (size_t replaced = 0; replaced < 5; ++replaced) {
    std::vector<std::vector<float>> piece_R = test::join_pieces_of(5, 500);
    std::vector<float> want(500);
    join_pieces(test::pointers_to(piece_R), 500, want.data());
    join_pieces(on_card, test::pointers_to(piece_R), 500, piece_R[replaced].data());
    EXPECT_EQ(piece_R[replaced], want);
  }
}

TEST_P(CudaJoinTest, NoPiecesAndTooManyAreErrors) {
  const std::vector<const float*> many(257);
  test::expect_error(errc::bad_argument, "257 pieces; a card joins 256 at most",
                     [&] { join_pieces(on_card, many, 0, nullptr); });
  test::expect_error(errc::bad_argument, "0 pieces", [&] { join_pieces(on_card, {}, 0, nullptr); });
}

INSTANTIATE_TEST_SUITE_P(Orders, CudaJoinTest, testing::ValuesIn(test::thread_orders));

}  // namespace
}  // namespace troupe::kernels
