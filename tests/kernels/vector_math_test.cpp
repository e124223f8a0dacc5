/// The shared vector functions against the C library in double, for every target that this CPU has.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/vector_math_test.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/cpu/vector_math-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace troupe::HWY_NAMESPACE {

template <class Function> void Map(const float* x, float* y, int64_t n, Function f) {
  const float_tag d;
  ForEachVector(d, n, [&](int64_t i, int64_t count) HWY_ATTR {
    PartialStore(f(d, PartialLoad(d, x + i, count)), d, y + i, count);
  });
}

void RunExp(const float* x, float* y, int64_t n) {
  Map(x, y, n, [](auto d, auto v) HWY_ATTR { return Exp(d, v); });
}
void RunSigmoid(const float* x, float* y, int64_t n) {
  Map(x, y, n, [](auto d, auto v) HWY_ATTR { return Sigmoid(d, v); });
}
void RunTanh(const float* x, float* y, int64_t n) {
  Map(x, y, n, [](auto d, auto v) HWY_ATTR { return Tanh(d, v); });
}
void RunErf(const float* x, float* y, int64_t n) {
  Map(x, y, n, [](auto d, auto v) HWY_ATTR { return Erf(d, v); });
}
void RunLog(const float* x, float* y, int64_t n) {
  Map(x, y, n, [](auto d, auto v) HWY_ATTR { return Log(d, v); });
}
float RunDot(const float* x, const float* y, int64_t n) { return Dot(float_tag(), x, y, n); }
float RunMax(const float* x, int64_t n) {
  const float_tag d;
  const float lowest = -std::numeric_limits<float>::infinity();
  return MaxLanesOf(d, FoldLanes(d, n, lowest, [&](auto acc, int64_t i, int64_t count) HWY_ATTR {
                      return hn::Max(acc, PartialLoad(d, x + i, count, lowest));
                    }));
}

}  // namespace troupe::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include "support/simd_targets.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace troupe {

HWY_EXPORT(RunExp);
HWY_EXPORT(RunSigmoid);
HWY_EXPORT(RunTanh);
HWY_EXPORT(RunErf);
HWY_EXPORT(RunLog);
HWY_EXPORT(RunDot);
HWY_EXPORT(RunMax);

namespace {

using function = void (*)(const float*, float*, int64_t);

void run_exp(const float* x, float* y, int64_t n) { HWY_DYNAMIC_DISPATCH(RunExp)(x, y, n); }
void run_sigmoid(const float* x, float* y, int64_t n) { HWY_DYNAMIC_DISPATCH(RunSigmoid)(x, y, n); }
void run_tanh(const float* x, float* y, int64_t n) { HWY_DYNAMIC_DISPATCH(RunTanh)(x, y, n); }
void run_erf(const float* x, float* y, int64_t n) { HWY_DYNAMIC_DISPATCH(RunErf)(x, y, n); }
void run_log(const float* x, float* y, int64_t n) { HWY_DYNAMIC_DISPATCH(RunLog)(x, y, n); }

/// Every `stride`-th float between two positive or two negative bounds, by bit pattern.
std::vector<float> floats_between(float first, float last, uint32_t stride) {
  std::vector<float> values;
  const auto end = std::bit_cast<uint32_t>(last);
  for (uint32_t bits = std::bit_cast<uint32_t>(first); bits <= end; bits += stride) {
    values.push_back(std::bit_cast<float>(bits));
  }
  return values;
}

double ulps(float got, double want) {
  const double magnitude = std::max(std::fabs(want), 0x1.0p-126);
  const double ulp = std::ldexp(1.0, std::ilogb(magnitude) - 23);
  return std::fabs(static_cast<double>(got) - want) / ulp;
}

double worst_ulps(function run, double (*oracle)(double), const std::vector<float>& x) {
  std::vector<float> y(x.size());
  run(x.data(), y.data(), static_cast<int64_t>(x.size()));
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = ulps(y[i], oracle(static_cast<double>(x[i])));
    worst = std::isnan(error) ? INFINITY : std::max(worst, error);
  }
  return worst;
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

class VectorMathTest : public testing::TestWithParam<int64_t> {
protected:
  const test::simd_target_scope scope{GetParam()};
};

constexpr uint32_t stride = 7919;

TEST_P(VectorMathTest, FunctionsAreWithinTheirDocumentedUlps) {
  EXPECT_LE(worst_ulps(run_exp, std::exp, floats_between(1e-10F, 88.72F, stride)), 1.0);
  EXPECT_LE(worst_ulps(run_exp, std::exp, floats_between(-1e-10F, -103.9F, stride)), 1.0);
  EXPECT_LE(worst_ulps(run_sigmoid, sigmoid, floats_between(1e-10F, 100.0F, stride)), 3.0);
  EXPECT_LE(worst_ulps(run_sigmoid, sigmoid, floats_between(-1e-10F, -100.0F, stride)), 3.0);
  EXPECT_LE(worst_ulps(run_tanh, std::tanh, floats_between(1e-30F, 200.0F, stride)), 2.0);
  EXPECT_LE(worst_ulps(run_tanh, std::tanh, floats_between(-1e-30F, -200.0F, stride)), 2.0);
  EXPECT_LE(worst_ulps(run_erf, std::erf, floats_between(1e-30F, 20.0F, stride)), 2.0);
  EXPECT_LE(worst_ulps(run_erf, std::erf, floats_between(-1e-30F, -20.0F, stride)), 2.0);
  EXPECT_LE(worst_ulps(run_log, std::log, floats_between(1e-44F, 3e38F, stride)), 2.0);
}

float one(function run, float x) {
  float y = 0;
  run(&x, &y, 1);
  return y;
}

TEST_P(VectorMathTest, InfinitiesAndNanFollowTheLimits) {
  const float inf = INFINITY;
  EXPECT_EQ(one(run_exp, -inf), 0.0F);
  EXPECT_EQ(one(run_exp, -1e30F), 0.0F);
  EXPECT_EQ(one(run_exp, 0.0F), 1.0F);
  EXPECT_EQ(one(run_exp, inf), inf);
  EXPECT_TRUE(std::isnan(one(run_exp, NAN)));
  EXPECT_EQ(one(run_sigmoid, -inf), 0.0F);
  EXPECT_EQ(one(run_sigmoid, inf), 1.0F);
  EXPECT_EQ(one(run_tanh, -inf), -1.0F);
  EXPECT_EQ(one(run_erf, inf), 1.0F);
  EXPECT_TRUE(std::isnan(one(run_tanh, NAN)));
  EXPECT_TRUE(std::isnan(one(run_erf, NAN)));
  EXPECT_EQ(one(run_log, 0.0F), -inf);
  EXPECT_EQ(one(run_log, inf), inf);
  EXPECT_TRUE(std::isnan(one(run_log, -1.0F)));
}

TEST_P(VectorMathTest, SumsHaveSixteenLanesWhateverTheVectorWidth) {
  std::vector<float> x(1000);
  std::vector<float> y(1000);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = std::sin(static_cast<float>(i));
    y[i] = std::cos(1.7F * static_cast<float>(i));
  }
  const bool fused = GetParam() != HWY_STATIC_TARGET;
  for (const int64_t n : {0, 1, 7, 8, 15, 16, 17, 33, 1000}) {
    float lanes[16] = {};
    for (int64_t i = 0; i < n; ++i) {
      const auto k = static_cast<size_t>(i);
      float& lane = lanes[k % 16];
      lane = fused ? std::fma(x[k], y[k], lane) : lane + x[k] * y[k];
    }
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) {
        lanes[i] += lanes[i + half];
      }
    }
    EXPECT_EQ(HWY_DYNAMIC_DISPATCH(RunDot)(x.data(), y.data(), n), lanes[0]) << n;
    const auto largest = std::max_element(x.begin(), x.begin() + n);
    EXPECT_EQ(HWY_DYNAMIC_DISPATCH(RunMax)(x.data(), n), n > 0 ? *largest : -INFINITY) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, VectorMathTest, testing::ValuesIn(test::simd_targets()), test::simd_target_name);

}  // namespace
}  // namespace troupe

#endif  // HWY_ONCE
