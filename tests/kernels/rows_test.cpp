#include "base/error.hpp"
#include "kernels/rows.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

namespace troupe::kernels {
namespace {

using test::random_values;

struct shape {
  int64_t n, width;
};

/// With this many threads.
class RowsTest : public testing::TestWithParam<std::tuple<shape, int>> {
protected:
  const int64_t n_ = std::get<0>(GetParam()).n, width_ = std::get<0>(GetParam()).width;
  thread_pool pool_{std::get<1>(GetParam())};
  context ctx_{pool_};

  std::vector<float> unset(int64_t count) const { return std::vector<float>(static_cast<size_t>(count), -7.0F); }
};

TEST_P(RowsTest, CopiesBetweenStridesAndTouchesNothingElse) {
  for (const auto& [to_gap, from_gap] : {std::pair<int64_t, int64_t>{0, 0}, {3, 0}, {0, 5}, {2, 1}}) {
    const int64_t to_stride = width_ + to_gap, from_stride = width_ + from_gap;
    const auto from = random_values(n_ * from_stride, 1);
    auto to = unset(n_ * to_stride), expected = to;
    for (int64_t row = 0; row < n_; ++row) {
      std::copy_n(from.begin() + row * from_stride, width_, expected.begin() + row * to_stride);
    }
    copy_rows(ctx_, {to.data(), from.data(), n_, width_, to_stride, from_stride});
    EXPECT_EQ(to, expected) << to_gap << ", " << from_gap;
  }
}

TEST_P(RowsTest, CopiesRoundToBfloat16AndBack) {
  auto wide = random_values(n_ * width_, 1);
  const auto unrounded = wide;
  const auto narrow = test::round_to_bf16(wide);
  std::vector<bf16> to(narrow.size()), again(narrow.size());
  auto back = unset(n_ * width_);
  copy_rows(ctx_, {.to = to.data(), .from = unrounded.data(), .n = n_, .width = width_});
  copy_rows(ctx_, {.to = again.data(), .from = to.data(), .n = n_, .width = width_});
  copy_rows(ctx_, {.to = back.data(), .from = again.data(), .n = n_, .width = width_});
  EXPECT_EQ(back, wide);
}

TEST_P(RowsTest, StrideOfZeroIsTheWidth) {
  const auto from = random_values(n_ * width_, 1);
  auto to = unset(n_ * width_);
  copy_rows(ctx_, {.to = to.data(), .from = from.data(), .n = n_, .width = width_});
  EXPECT_EQ(to, from);
}

TEST_P(RowsTest, ScatterPutsBackWhatGatherTookAndZeroesTheRest) {
  const auto from = random_values(n_ * width_, 2);
  std::vector<int64_t> row;
  for (int64_t i = n_ - 1; i >= 0; i -= 2) {
    row.push_back(i);
  }
  const auto rows = static_cast<int64_t>(row.size());
  auto gathered = unset(rows * width_), scattered = unset(n_ * width_);
  gather_rows(ctx_, {gathered.data(), from.data(), row.data(), rows, width_});
  scatter_rows(ctx_, {scattered.data(), gathered.data(), row.data(), n_, rows, width_});
  std::vector<float> taken(gathered.size()), expected(scattered.size(), 0.0F);
  for (size_t a = 0; a < row.size(); ++a) {
    const auto begin = from.begin() + row[a] * width_;
    std::copy_n(begin, width_, taken.begin() + static_cast<int64_t>(a) * width_);
    std::copy_n(begin, width_, expected.begin() + row[a] * width_);
  }
  EXPECT_EQ(gathered, taken);
  EXPECT_EQ(scattered, expected);
}

TEST_P(RowsTest, ZeroSetsItsValuesAlone) {
  auto values = unset(n_ * width_ + 1);
  zero(ctx_, values.data(), n_ * width_);
  EXPECT_EQ(std::count(values.begin(), values.end(), 0.0F), n_ * width_);
  EXPECT_EQ(values.back(), -7.0F);
}

INSTANTIATE_TEST_SUITE_P(Shapes, RowsTest,
                         testing::Combine(testing::Values(shape{0, 31}, shape{3, 0}, shape{1, 1}, shape{33, 7},
                                                          shape{2, 40000}, shape{500, 768}),
                                          testing::Values(1, 3)));

TEST(RowsArgumentsTest, ImpossibleOnesAreErrors) {
  thread_pool pool(1);
  context ctx{pool};
  std::vector<float> values(8);
  EXPECT_THROW(copy_rows(ctx, {.to = values.data(), .from = values.data() + 4, .n = 2, .width = 2, .to_stride = 1}),
               error);
  EXPECT_THROW(copy_rows(ctx, {.to = values.data(), .from = values.data() + 4, .n = -1, .width = 2}), error);
  for (const int64_t row : {-1, 2}) {
    EXPECT_THROW(scatter_rows(ctx, {values.data(), values.data() + 4, &row, 2, 1, 2}), error);
  }
  EXPECT_THROW(zero(ctx, values.data(), -1), error);
}

}  // namespace
}  // namespace troupe::kernels
