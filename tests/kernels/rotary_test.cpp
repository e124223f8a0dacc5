#include "base/error.hpp"
#include "kernels/rotary.hpp"
#include "support/random_values.hpp"
#include "support/simd_targets.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::kernels {
namespace {

using test::random_values;

constexpr int64_t positions = 50;

struct shape {
  int64_t n, heads, head_width, rotated;
};

/// Rows with three more floats than the heads take, a table of angles, and positions that jump
/// about.
struct rotary_case {
  explicit rotary_case(const shape& given)
      : s(given), stride(s.heads * s.head_width + 3), x(random_values(s.n * stride, 1)) {
    for (int64_t row = 0; row < s.n; ++row) {
      position.push_back(static_cast<int32_t>((row * 17 + 3) % positions));
    }
    const int64_t half = s.rotated / 2;
    for (int64_t i = 0; i < positions * half; ++i) {
      const double angle =
          static_cast<double>(i / half) * std::pow(100.0, -static_cast<double>(i % half) / static_cast<double>(half));
      cosine.push_back(static_cast<float>(std::cos(angle)));
      sine.push_back(static_cast<float>(std::sin(angle)));
    }
  }

  rotary_args args() {
    return {.x_NE = x.data(),
            .row_stride = stride,
            .n = s.n,
            .heads = s.heads,
            .head_width = s.head_width,
            .rotated = s.rotated,
            .position_N = position.data(),
            .cos_PR2 = cosine.data(),
            .sin_PR2 = sine.data()};
  }

  /// The rotation in double, each pair as a complex number times e^(i angle * direction).
  std::vector<double> oracle(double direction) const {
    std::vector<double> y(x.begin(), x.end());
    const int64_t half = s.rotated / 2;
    for (int64_t row = 0; row < s.n; ++row) {
      for (int64_t i = 0; i < s.heads * half; ++i) {
        const auto a = static_cast<size_t>(row * stride + i / half * s.head_width + i % half);
        const auto b = a + static_cast<size_t>(half);
        const auto angle = static_cast<size_t>(position[static_cast<size_t>(row)] * half + i % half);
        const double c = cosine[angle], t = direction * sine[angle];
        y[a] = x[a] * c - x[b] * t;
        y[b] = x[b] * c + x[a] * t;
      }
    }
    return y;
  }

  shape s;
  int64_t stride;
  std::vector<float> x, cosine, sine;
  std::vector<int32_t> position;
};

class RotaryTest : public testing::TestWithParam<std::tuple<shape, int64_t>> {
protected:
  RotaryTest() : target_(std::get<1>(GetParam())), values_(std::get<0>(GetParam())) {}

  test::simd_target_scope target_;
  rotary_case values_;
  thread_pool pool_{2};
  context ctx_{pool_};
};

TEST_P(RotaryTest, ForwardMatchesTheOracle) {
  const auto oracle = values_.oracle(1.0);
  rotary_forward(ctx_, values_.args());
  EXPECT_LT(test::relative_error(values_.x, oracle), 1e-13);
}

TEST_P(RotaryTest, BackwardIsTheOppositeRotation) {
  const auto oracle = values_.oracle(-1.0);
  rotary_backward(ctx_, values_.args());
  EXPECT_LT(test::relative_error(values_.x, oracle), 1e-13);
}

TEST_P(RotaryTest, LeavesWhatIsNotRotatedAlone) {
  const std::vector<float> original = values_.x;
  rotary_forward(ctx_, values_.args());
  const shape& s = values_.s;
  for (size_t i = 0; i < original.size(); ++i) {
    const int64_t column = static_cast<int64_t>(i) % values_.stride;
    if (column >= s.heads * s.head_width || column % s.head_width >= s.rotated) {
      EXPECT_EQ(values_.x[i], original[i]) << "element " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RotaryTest,
                         testing::Combine(testing::Values(shape{0, 2, 8, 8}, shape{1, 1, 2, 2}, shape{3, 2, 33, 0},
                                                          shape{5, 3, 64, 64}, shape{40, 2, 80, 20},
                                                          shape{7, 2, 31, 30}, shape{17, 1, 128, 66}),
                                          testing::ValuesIn(test::simd_targets())),
                         [](const auto& info) {
                           const shape& s = std::get<0>(info.param);
                           return std::to_string(s.n) + "x" + std::to_string(s.heads) + "x" +
                                  std::to_string(s.head_width) + "turning" + std::to_string(s.rotated) + "_" +
                                  hwy::TargetName(std::get<1>(info.param));
                         });

TEST(RotaryBitsTest, RowDependsOnItsPositionOnly) {
  thread_pool pool(2);
  context ctx{pool};
  rotary_case all({40, 3, 24, 18});
  rotary_case one({1, 3, 24, 18});
  const std::vector<float> original = all.x;
  rotary_forward(ctx, all.args());
  for (const int64_t row : {0, 16, 39}) {
    const auto begin = original.begin() + row * one.stride;
    std::copy(begin, begin + one.stride, one.x.begin());
    one.position[0] = all.position[static_cast<size_t>(row)];
    rotary_forward(ctx, one.args());
    const auto turned = all.x.begin() + row * one.stride;
    EXPECT_EQ(one.x, std::vector<float>(turned, turned + one.stride)) << "row " << row;
  }
}

TEST(RotaryBitsTest, ThreadsAndVectorWidthDoNotMatter) {
  thread_pool single(1);
  context single_ctx{single};
  rotary_case first({40, 3, 80, 38});
  rotary_forward(single_ctx, first.args());
  for (const int64_t target : test::fused_simd_targets()) {
    const test::simd_target_scope scope(target);
    for (const int threads : {1, 2, 3}) {
      thread_pool pool(threads);
      context ctx{pool};
      rotary_case other({40, 3, 80, 38});
      rotary_forward(ctx, other.args());
      EXPECT_EQ(other.x, first.x) << hwy::TargetName(target) << ", threads " << threads;
    }
  }
}

TEST(RotaryArgumentsTest, ImpossibleRotationsAreErrors) {
  thread_pool pool(1);
  context ctx{pool};
  const auto with = [](const auto& change) {
    rotary_case values({2, 2, 8, 8});
    rotary_args args = values.args();
    change(args);
    return args;
  };
  EXPECT_THROW(rotary_forward(ctx, with([](rotary_args& a) { a.rotated = 10; })), error);
  EXPECT_THROW(rotary_forward(ctx, with([](rotary_args& a) { a.rotated = 3; })), error);
  EXPECT_THROW(rotary_forward(ctx, with([](rotary_args& a) { a.row_stride = 15; })), error);
  rotary_case values({2, 2, 8, 8});
  values.position[1] = -1;
  EXPECT_THROW(rotary_backward(ctx, values.args()), error);
}

}  // namespace
}  // namespace troupe::kernels
