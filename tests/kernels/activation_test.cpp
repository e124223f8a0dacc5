#include "base/error.hpp"
#include "kernels/activation.hpp"
#include "support/activation_oracle.hpp"
#include "support/random_values.hpp"
#include "support/simd_targets.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <string>

namespace troupe::kernels {
namespace {

using test::random_values;

const char* name_of(activation kind) {
  constexpr const char* names[] = {"relu", "gelu_tanh", "gelu_erf", "silu"};
  return names[static_cast<size_t>(kind)];
}

class ActivationTest : public testing::TestWithParam<std::tuple<int64_t, activation>> {
protected:
  const test::simd_target_scope target{std::get<0>(GetParam())};
  const activation kind = std::get<1>(GetParam());
};

constexpr int64_t widths[] = {1, 31, 33, 768};

TEST_P(ActivationTest, ForwardIsNearItsOracle) {
  thread_pool pool(2);
  context ctx{pool};
  for (const int64_t f : widths) {
    const int64_t n = 9;
    const std::vector<float> x = random_values(n * f + 1, 1, 12.0);
    std::vector<float> y(x.size(), 7.0F);
    activation_forward(ctx, {.y_NF = y.data() + 1, .x_NF = x.data() + 1, .n = n, .f = f, .kind = kind});
    EXPECT_EQ(y[0], 7.0F);
    for (size_t i = 1; i < x.size(); ++i) {
      const double want = test::activation_oracle(kind, static_cast<double>(x[i]));
      EXPECT_NEAR(y[i], want, 3e-7 * std::max(1.0, std::fabs(want))) << x[i];
    }
  }
}

TEST_P(ActivationTest, BackwardMatchesCentralDifferences) {
  thread_pool pool(2);
  context ctx{pool};
  for (const int64_t f : widths) {
    const int64_t n = 3;
    const std::vector<float> x = random_values(n * f, 2, 8.0);
    const std::vector<float> dy = random_values(n * f, 3);
    std::vector<float> dx = dy;  // in place
    activation_backward(ctx, {.dx_NF = dx.data(), .dy_NF = dx.data(), .x_NF = x.data(), .n = n, .f = f, .kind = kind});
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = static_cast<double>(dy[i]) * test::activation_slope(kind, static_cast<double>(x[i]));
      EXPECT_NEAR(dx[i], want, 1e-6) << x[i];
    }
  }
}

TEST_P(ActivationTest, GatedFormIsTheProductWithUp) {
  thread_pool pool(2);
  context ctx{pool};
  for (const int64_t f : widths) {
    const int64_t n = 5;
    const std::vector<float> gate_up = random_values(n * 2 * f, 4, 6.0);
    const std::vector<float> dy = random_values(n * f, 5);
    std::vector<float> y(dy.size());
    std::vector<float> dgate_up = gate_up;  // in place
    gated_activation_forward(ctx, {.y_NF = y.data(), .gate_up_N2F = gate_up.data(), .n = n, .f = f, .kind = kind});
    gated_activation_backward(ctx, {.dgate_up_N2F = dgate_up.data(),
                                    .dy_NF = dy.data(),
                                    .gate_up_N2F = dgate_up.data(),
                                    .n = n,
                                    .f = f,
                                    .kind = kind});
    for (int64_t i = 0; i < n * f; ++i) {
      const auto gate_at = static_cast<size_t>(i / f * 2 * f + i % f);
      const auto up_at = gate_at + static_cast<size_t>(f);
      const double gate = gate_up[gate_at];
      const double up = gate_up[up_at];
      const double dy_i = dy[static_cast<size_t>(i)];
      EXPECT_NEAR(y[static_cast<size_t>(i)], test::activation_oracle(kind, gate) * up, 2e-5);
      EXPECT_NEAR(dgate_up[gate_at], test::activation_slope(kind, gate) * up * dy_i, 2e-5);
      EXPECT_NEAR(dgate_up[up_at], test::activation_oracle(kind, gate) * dy_i, 2e-6);
    }
  }
}

TEST_P(ActivationTest, NanPassesThrough) {
  thread_pool pool(1);
  context ctx{pool};
  const float x = NAN;
  float y = 0;
  activation_forward(ctx, {.y_NF = &y, .x_NF = &x, .n = 1, .f = 1, .kind = kind});
  EXPECT_TRUE(std::isnan(y));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ActivationTest,
                         testing::Combine(testing::ValuesIn(test::simd_targets()),
                                          testing::Values(activation::relu, activation::gelu_tanh, activation::gelu_erf,
                                                          activation::silu)),
                         [](const auto& info) {
                           return std::string(hwy::TargetName(std::get<0>(info.param))) + "_" +
                                  name_of(std::get<1>(info.param));
                         });

/// Forward, backward, both gated forms and the sum of one input, one after the other.
std::vector<float> everything(activation kind, int threads, int64_t n, int64_t f, const std::vector<float>& x) {
  thread_pool pool(threads);
  context ctx{pool};
  const auto count = static_cast<size_t>(n * f);
  std::vector<float> out(6 * count);
  float* dx = out.data() + count;
  float* gated = dx + count;
  float* dgate_up = gated + count;
  float* sum = dgate_up + 2 * count;
  const float* dy = x.data() + 2 * count;
  activation_forward(ctx, {.y_NF = out.data(), .x_NF = x.data(), .n = n, .f = f, .kind = kind});
  activation_backward(ctx, {.dx_NF = dx, .dy_NF = dy, .x_NF = x.data(), .n = n, .f = f, .kind = kind});
  gated_activation_forward(ctx, {.y_NF = gated, .gate_up_N2F = x.data(), .n = n, .f = f, .kind = kind});
  gated_activation_backward(
      ctx, {.dgate_up_N2F = dgate_up, .dy_NF = dy, .gate_up_N2F = x.data(), .n = n, .f = f, .kind = kind});
  std::copy(x.begin(), x.begin() + n * f, sum);
  add_in_place(ctx, sum, dy, n * f);
  return out;
}

TEST(ActivationBitsTest, ThreadsAndVectorWidthLeaveTheBitsAlone) {
  const int64_t n = 21;
  const int64_t f = 777;
  const std::vector<float> x = random_values(3 * n * f, 6, 5.0);
  for (const activation kind : {activation::relu, activation::gelu_tanh, activation::gelu_erf, activation::silu}) {
    std::vector<std::vector<float>> results;
    for (const int64_t target : test::fused_simd_targets()) {
      const test::simd_target_scope scope(target);
      for (const int threads : {1, 2, 3}) {
        results.push_back(everything(kind, threads, n, f, x));
        EXPECT_EQ(results.back(), results.front()) << name_of(kind);
      }
    }
  }
}

TEST(ActivationBitsTest, AValueHasTheSameBitsAtEveryPosition) {
  thread_pool pool(1);
  context ctx{pool};
  const std::vector<float> x = random_values(100, 7, 5.0);
  std::vector<float> y(x.size());
  activation_forward(ctx, {.y_NF = y.data(), .x_NF = x.data(), .n = 1, .f = 100, .kind = activation::gelu_erf});
  for (size_t i = 0; i < x.size(); ++i) {
    float alone = 0;
    activation_forward(ctx, {.y_NF = &alone, .x_NF = &x[i], .n = 1, .f = 1, .kind = activation::gelu_erf});
    EXPECT_EQ(alone, y[i]);
  }
}

TEST(AddInPlaceTest, AddsEveryElementAndNoMore) {
  thread_pool pool(2);
  context ctx{pool};
  for (const int64_t count : {0, 1, 31, 5000}) {
    std::vector<float> y = random_values(count + 1, 8);
    const std::vector<float> before = y;
    const std::vector<float> x = random_values(count + 1, 9);
    add_in_place(ctx, y.data(), x.data(), count);
    for (size_t i = 0; i < y.size(); ++i) {
      EXPECT_EQ(y[i], i < static_cast<size_t>(count) ? before[i] + x[i] : before[i]);
    }
  }
}

TEST(ActivationErrorTest, NegativeRowsAreRefused) {
  thread_pool pool(1);
  context ctx{pool};
  EXPECT_THROW(activation_forward(ctx, {.n = -1, .f = 2}), error);
  EXPECT_THROW(gated_activation_forward(ctx, {.n = 1, .f = 0}), error);
  EXPECT_NO_THROW(activation_forward(ctx, {.n = 0, .f = 2}));
}

}  // namespace
}  // namespace troupe::kernels
