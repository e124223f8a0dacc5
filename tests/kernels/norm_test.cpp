#include "base/error.hpp"
#include "kernels/norm.hpp"
#include "support/norm_oracle.hpp"
#include "support/random_values.hpp"
#include "support/simd_targets.hpp"

#include <gtest/gtest.h>

#include <tuple>

namespace troupe::kernels {
namespace {

using test::norm_kind;
using test::random_values;
using test::to_double;

constexpr float epsilon = 1e-5F;
constexpr float before = 0.5F;  ///< what accumulated gradients hold beforehand

/// Seeded operands, which begin one float past an aligned address, and the kernels' results.
struct norm_case {
  norm_case(norm_kind k, int64_t rows, int64_t width, double shift = 0)
      : kind(k), n(rows), d(width), x(random_values(n * d + 1, 1)), add(random_values(n * d, 2)),
        gamma(random_values(d, 3)), beta(random_values(d, 4)), dy(random_values(n * d, 5)), y(x.size()),
        mean(static_cast<size_t>(n)), rstd(mean), dx(x.size(), before), dgamma(static_cast<size_t>(d), before),
        dbeta(dgamma) {
    for (float& value : x) {
      value += static_cast<float>(shift);
    }
  }

  void forward(context& ctx, bool residual) {
    const norm_args args{.y_ND = y.data() + 1,
                         .rstd_N = rstd.data(),
                         .mean_N = mean.data(),
                         .x_ND = x.data() + 1,
                         .add_ND = residual ? add.data() : nullptr,
                         .gamma_D = typed(gamma, gamma16),
                         .beta_D = typed(beta, beta16),
                         .n = n,
                         .d = d,
                         .epsilon = epsilon};
    kind == norm_kind::layer ? layer_norm_forward(ctx, args) : rms_norm_forward(ctx, args);
  }

  void backward(context& ctx) {
    const norm_backward_args args{.dx_ND = dx.data() + 1,
                                  .dgamma_D = dgamma.data(),
                                  .dbeta_D = dbeta.data(),
                                  .dy_ND = dy.data(),
                                  .x_ND = x.data() + 1,
                                  .gamma_D = typed(gamma, gamma16),
                                  .rstd_N = rstd.data(),
                                  .mean_N = mean.data(),
                                  .n = n,
                                  .d = d};
    kind == norm_kind::layer ? layer_norm_backward(ctx, args) : rms_norm_backward(ctx, args);
  }

  static const_reals typed(const std::vector<float>& values, const std::vector<bf16>& narrow) {
    return narrow.empty() ? const_reals(values.data()) : const_reals(narrow.data());
  }

  std::span<const float> inside(const std::vector<float>& values) const { return std::span(values).subspan(1); }

  norm_kind kind;
  int64_t n, d;
  std::vector<float> x, add, gamma, beta, dy, y, mean, rstd, dx, dgamma, dbeta;
  std::vector<bf16> gamma16, beta16;  ///< empty: float32
};

class NormTest : public testing::TestWithParam<std::tuple<norm_kind, int64_t, int64_t, int64_t>> {
protected:
  NormTest()
      : target_(std::get<3>(GetParam())),
        values_(std::get<0>(GetParam()), std::get<1>(GetParam()), std::get<2>(GetParam())) {}

  test::simd_target_scope target_;
  norm_case values_;
  thread_pool pool_{2};
  context ctx_{pool_};
};

TEST_P(NormTest, ForwardMatchesTheOracle) {
  norm_case& v = values_;
  const auto oracle =
      test::norm_oracle(v.kind, to_double(v.inside(v.x)), to_double(v.gamma), to_double(v.beta), epsilon);
  v.forward(ctx_, false);
  EXPECT_LT(test::relative_error(v.inside(v.y), oracle), 1e-12);
}

TEST_P(NormTest, ResidualIsAddedAndKept) {
  norm_case& v = values_;
  std::vector<float> sum(v.inside(v.x).begin(), v.inside(v.x).end());
  for (size_t i = 0; i < sum.size(); ++i) {
    sum[i] += v.add[i];
  }
  v.forward(ctx_, true);
  EXPECT_EQ(std::vector<float>(v.inside(v.x).begin(), v.inside(v.x).end()), sum);
  const auto oracle = test::norm_oracle(v.kind, to_double(sum), to_double(v.gamma), to_double(v.beta), epsilon);
  EXPECT_LT(test::relative_error(v.inside(v.y), oracle), 1e-12);
}

TEST_P(NormTest, BackwardAddsTheOraclesGradients) {
  norm_case& v = values_;
  v.forward(ctx_, false);
  v.backward(ctx_);
  auto oracle =
      test::norm_backward_oracle(v.kind, to_double(v.inside(v.x)), to_double(v.gamma), to_double(v.dy), epsilon);
  for (auto* gradient : {&oracle.dx_ND, &oracle.dgamma_D, &oracle.dbeta_D}) {
    for (double& value : *gradient) {
      value += before;
    }
  }
  EXPECT_LT(test::relative_error(v.inside(v.dx), oracle.dx_ND), 1e-11);
  EXPECT_LT(test::relative_error(v.dgamma, oracle.dgamma_D), 1e-11);
  if (v.kind == norm_kind::layer) {
    EXPECT_LT(test::relative_error(v.dbeta, oracle.dbeta_D), 1e-11);
  }
}

TEST_P(NormTest, ParametersInBf16GiveTheirValues) {
  norm_case& wide = values_;
  norm_case narrow = wide;
  narrow.gamma16 = test::round_to_bf16(wide.gamma);
  narrow.beta16 = test::round_to_bf16(wide.beta);
  for (norm_case* v : {&wide, &narrow}) {
    v->forward(ctx_, true);
    v->backward(ctx_);
  }
  EXPECT_EQ(narrow.y, wide.y);
  EXPECT_EQ(narrow.dx, wide.dx);
  EXPECT_EQ(narrow.dgamma, wide.dgamma);
}

std::string kind_name(norm_kind kind) { return kind == norm_kind::layer ? "Layer" : "Rms"; }

INSTANTIATE_TEST_SUITE_P(Shapes, NormTest,
                         testing::Combine(testing::Values(norm_kind::layer, norm_kind::rms), testing::Values(0, 1, 37),
                                          testing::Values(1, 16, 31, 33, 768), testing::ValuesIn(test::simd_targets())),
                         [](const auto& info) {
                           return kind_name(std::get<0>(info.param)) + std::to_string(std::get<1>(info.param)) + "x" +
                                  std::to_string(std::get<2>(info.param)) + "_" +
                                  hwy::TargetName(std::get<3>(info.param));
                         });

TEST(LayerNormTest, LargeMeanKeepsTheVariance) {
  thread_pool pool(1);
  context ctx{pool};
  norm_case v(norm_kind::layer, 3, 768, 1000.0);
  const auto oracle =
      test::norm_oracle(v.kind, to_double(v.inside(v.x)), to_double(v.gamma), to_double(v.beta), epsilon);
  v.forward(ctx, false);
  // The inputs' mean is rounded to 6e-5; the sum of squares alone would lose the variance
  // altogether.
  EXPECT_LT(test::relative_error(v.inside(v.y), oracle), 1e-7);
}

class NormBitsTest : public testing::TestWithParam<norm_kind> {};

TEST_P(NormBitsTest, RowDoesNotDependOnTheOthers) {
  thread_pool pool(2);
  context ctx{pool};
  norm_case all(GetParam(), 37, 33);
  all.forward(ctx, true);
  all.backward(ctx);
  norm_case fresh(GetParam(), 37, 33);
  norm_case one(GetParam(), 1, 33);
  for (const int64_t row : {0, 20, 36}) {
    const auto take = [&](const std::vector<float>& from, int64_t offset) {
      const auto begin = from.begin() + offset + row * 33;
      return std::vector<float>(begin, begin + 33);
    };
    const auto put = [&](std::vector<float>& to, const std::vector<float>& row_33, int64_t offset) {
      std::copy(row_33.begin(), row_33.end(), to.begin() + offset);
    };
    put(one.x, take(fresh.x, 1), 1);
    put(one.add, take(fresh.add, 0), 0);
    put(one.dy, take(fresh.dy, 0), 0);
    one.dx.assign(one.dx.size(), before);
    one.forward(ctx, true);
    one.backward(ctx);
    EXPECT_EQ(std::vector<float>(one.y.begin() + 1, one.y.end()), take(all.y, 1));
    EXPECT_EQ(std::vector<float>(one.dx.begin() + 1, one.dx.end()), take(all.dx, 1));
  }
}

TEST_P(NormBitsTest, ThreadsAndVectorWidthDoNotMatter) {
  thread_pool pool(1);
  context ctx{pool};
  norm_case first(GetParam(), 37, 101);
  first.forward(ctx, false);
  first.backward(ctx);
  for (const int64_t target : test::fused_simd_targets()) {
    const test::simd_target_scope scope(target);
    for (const int threads : {1, 2, 3}) {
      thread_pool other_pool(threads);
      context other_ctx{other_pool};
      norm_case other(GetParam(), 37, 101);
      other.forward(other_ctx, false);
      other.backward(other_ctx);
      EXPECT_EQ(other.y, first.y) << hwy::TargetName(target) << ", threads " << threads;
      EXPECT_EQ(other.dx, first.dx) << hwy::TargetName(target) << ", threads " << threads;
      EXPECT_EQ(other.dgamma, first.dgamma) << hwy::TargetName(target) << ", threads " << threads;
      EXPECT_EQ(other.dbeta, first.dbeta) << hwy::TargetName(target) << ", threads " << threads;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, NormBitsTest, testing::Values(norm_kind::layer, norm_kind::rms),
                         [](const auto& info) { return kind_name(info.param); });

class NormOracleTest : public testing::TestWithParam<norm_kind> {};

TEST_P(NormOracleTest, BackwardMatchesCentralDifferences) {
  const norm_kind kind = GetParam();
  std::vector<double> x = to_double(random_values(3 * 5, 1));
  std::vector<double> gamma = to_double(random_values(5, 2));
  std::vector<double> beta = to_double(random_values(5, 3));
  const std::vector<double> dy = to_double(random_values(3 * 5, 4));
  const auto loss = [&] {
    const auto y = test::norm_oracle(kind, x, gamma, beta, epsilon);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) {
      sum += y[i] * dy[i];
    }
    return sum;
  };
  const auto g = test::norm_backward_oracle(kind, x, gamma, dy, epsilon);
  const auto compare = [&](std::vector<double>& values, const std::vector<double>& gradient) {
    for (size_t i = 0; i < values.size(); ++i) {
      const double at = values[i];
      values[i] = at + 1e-6;
      const double above = loss();
      values[i] = at - 1e-6;
      const double below = loss();
      values[i] = at;
      EXPECT_NEAR(gradient[i], (above - below) / 2e-6, 1e-7) << "element " << i;
    }
  };
  compare(x, g.dx_ND);
  compare(gamma, g.dgamma_D);
  if (kind == norm_kind::layer) {
    compare(beta, g.dbeta_D);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, NormOracleTest, testing::Values(norm_kind::layer, norm_kind::rms),
                         [](const auto& info) { return kind_name(info.param); });

TEST(NormArgumentsTest, MissingPiecesAreErrors) {
  thread_pool pool(1);
  context ctx{pool};
  float value = 1;
  EXPECT_THROW(rms_norm_forward(ctx, {.gamma_D = &value, .n = 1, .d = 0}), error);
  EXPECT_THROW(rms_norm_forward(ctx, {.gamma_D = nullptr, .n = 0, .d = 1}), error);
  EXPECT_THROW(rms_norm_forward(ctx, {.gamma_D = &value, .n = 0, .d = 1, .epsilon = -1}), error);
  EXPECT_THROW(layer_norm_forward(ctx, {.gamma_D = &value, .n = 0, .d = 1}), error);
  EXPECT_THROW(rms_norm_backward(ctx, {.dgamma_D = &value, .gamma_D = &value, .n = 1, .d = 1}), error);
}

}  // namespace
}  // namespace troupe::kernels
