#include "kernels/rotary.hpp"
#include "support/emulation/card_test.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::kernels {
namespace {

using test::operand;
using test::widened;

struct shape {
  int64_t n, heads, head_width, rotated, gap;
};
constexpr shape shapes[] = {{0, 2, 8, 8, 0}, {1, 1, 2, 2, 0}, {7, 3, 8, 4, 5}, {3, 5, 64, 64, 128}, {4, 2, 6, 0, 0}};
constexpr int64_t positions = 50;

/// Angles whose sines and cosines are no short numbers.
struct angle_table {
  explicit angle_table(int64_t half) {
    for (int64_t i = 0; i < positions * half; ++i) {
      cosine.push_back(std::cos(0.37F * static_cast<float>(i)));
      sine.push_back(std::sin(0.37F * static_cast<float>(i)));
    }
  }
  std::vector<float> cosine, sine;
};

/// The rotation in double.
std::vector<double> turned(const shape& s, const std::vector<float>& x, const std::vector<int32_t>& position,
                           const angle_table& angles, double direction) {
  std::vector<double> y(x.begin(), x.end());
  const int64_t half = s.rotated / 2, stride = s.heads * s.head_width + s.gap;
  for (int64_t row = 0; row < s.n; ++row) {
    for (int64_t head = 0; head < s.heads; ++head) {
      for (int64_t i = 0; i < half; ++i) {
        const auto a = static_cast<size_t>(row * stride + head * s.head_width + i), b = a + static_cast<size_t>(half);
        const auto angle = static_cast<size_t>(position[static_cast<size_t>(row)] * half + i);
        const double cosine = angles.cosine[angle], sine = direction * angles.sine[angle];
        y[a] = x[a] * cosine - x[b] * sine;
        y[b] = x[b] * cosine + x[a] * sine;
      }
    }
  }
  return y;
}

using CudaRotaryTest = test::CardTest;

TEST_P(CudaRotaryTest, TurnsBothWaysAsItsOracleAndTheHostDo) {
  for (const shape& s : shapes) {
    const int64_t stride = s.heads * s.head_width + s.gap;
    const angle_table angles(s.rotated / 2);
    std::vector<int32_t> position;
    for (int64_t row = 0; row < s.n; ++row) {
      position.push_back(static_cast<int32_t>(row * 13 % positions));
    }
    for (const auto& [turn, direction] : {std::pair{&rotary_forward, 1.0}, std::pair{&rotary_backward, -1.0}}) {
      const operand before = random_operand(s.n * stride, 1);
      operand x = before, twin = widened(before);
      rotary_args args{.row_stride = stride,
                       .n = s.n,
                       .heads = s.heads,
                       .head_width = s.head_width,
                       .rotated = s.rotated,
                       .position_N = position.data(),
                       .cos_PR2 = angles.cosine.data(),
                       .sin_PR2 = angles.sine.data()};
      args.x_NE = x.data();
      turn(on_card, args);
      args.x_NE = twin.data();
      turn(on_host, args);
      EXPECT_EQ(x, operand(twin.values(), type()));  // rounded from the same bits
      EXPECT_TRUE(test::near_oracle("rotary", type(), x.values(),
                                    turned(s, before.values(), position, angles, direction), error_limit()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaRotaryTest, test::card_cases(), test::card_case_name);

}  // namespace
}  // namespace troupe::kernels
