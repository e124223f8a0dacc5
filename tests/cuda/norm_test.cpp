#include "kernels/norm.hpp"
#include "support/emulation/card_test.hpp"
#include "support/norm_oracle.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::kernels {
namespace {

using test::norm_kind;
using test::operand;
using test::to_double;
using test::widened;

constexpr float epsilon = 1e-5F;
constexpr norm_kind kinds[] = {norm_kind::layer, norm_kind::rms};
/// One row of each number of warps that there is, and rows that make more than one piece of columns.
constexpr int64_t shapes[][2] = {{0, 5}, {1, 1}, {3, 31}, {2, 33}, {2, 768}, {1, 5000}, {130, 17}};

struct forward_results {
  operand y, x;
  std::vector<float> mean, rstd;
};

forward_results forward(context& ctx, norm_kind kind, int64_t n, int64_t d, operand x, operand* add, operand gamma,
                        operand beta) {
  forward_results results{x, x, std::vector<float>(static_cast<size_t>(n)), std::vector<float>(static_cast<size_t>(n))};
  const norm_args args{.y_ND = results.y.data(),
                       .rstd_N = results.rstd.data(),
                       .mean_N = results.mean.data(),
                       .x_ND = results.x.data(),
                       .add_ND = add == nullptr ? const_reals() : const_reals(add->data()),
                       .gamma_D = gamma.data(),
                       .beta_D = beta.data(),
                       .n = n,
                       .d = d,
                       .epsilon = epsilon};
  kind == norm_kind::layer ? layer_norm_forward(ctx, args) : rms_norm_forward(ctx, args);
  return results;
}

using CudaNormTest = test::CardTest;

TEST_P(CudaNormTest, ForwardIsNearItsOracle) {
  for (const norm_kind kind : kinds) {
    for (const auto& [n, d] : shapes) {
      operand x = random_operand(n * d, 1, 3.0), add = random_operand(n * d, 2);
      const operand gamma = random_operand(d, 3), beta = random_operand(d, 4);
      const auto [y, stream, mean, rstd] = forward(on_card, kind, n, d, x, &add, gamma, beta);
      std::vector<float> sum = x.values();
      for (size_t i = 0; i < sum.size(); ++i) {
        sum[i] += add.values()[i];
      }
      EXPECT_EQ(stream, operand(sum, type()));
      const forward_results twin =
          forward(on_host, kind, n, d, widened(stream), nullptr, widened(gamma), widened(beta));
      expect_near("norm forward", y,
                  test::norm_oracle(kind, to_double(stream.values()), to_double(gamma.values()),
                                    to_double(beta.values()), epsilon),
                  twin.y);
      EXPECT_LT(test::relative_error(rstd, to_double(twin.rstd)), 1e-12);
      if (kind == norm_kind::layer) {
        EXPECT_LT(test::relative_error(mean, to_double(twin.mean)), 1e-10);
      }
    }
  }
}

TEST_P(CudaNormTest, BackwardIsNearItsOracle) {
  for (const norm_kind kind : kinds) {
    for (const auto& [n, d] : shapes) {
      if (d == 1) {
        continue;  // LayerNorm's gradient of one value is 0, and its rounding all there is
      }
      operand x = random_operand(n * d, 1, 3.0), dy = random_operand(n * d, 5), dx = random_operand(n * d, 6);
      operand gamma = random_operand(d, 3);
      const operand beta = random_operand(d, 4);
      forward_results kept = forward(on_card, kind, n, d, x, nullptr, gamma, beta);
      std::vector<float> dgamma = test::random_values(d, 7), dbeta = test::random_values(d, 8);
      auto want = test::norm_backward_oracle(kind, to_double(x.values()), to_double(gamma.values()),
                                             to_double(dy.values()), epsilon);
      for (size_t i = 0; i < want.dx_ND.size(); ++i) {
        want.dx_ND[i] += static_cast<double>(dx.values()[i]);
      }
      for (size_t i = 0; i < dgamma.size(); ++i) {
        want.dgamma_D[i] += static_cast<double>(dgamma[i]);
        want.dbeta_D[i] += static_cast<double>(dbeta[i]);
      }
      operand twin_dx = widened(dx), twin_dy = widened(dy), twin_x = widened(x), twin_gamma = widened(gamma);
      std::vector<float> twin_dgamma = dgamma, twin_dbeta = dbeta;
      norm_backward_args args{.dx_ND = dx.data(),
                              .dgamma_D = dgamma.data(),
                              .dbeta_D = dbeta.data(),
                              .dy_ND = dy.data(),
                              .x_ND = x.data(),
                              .gamma_D = gamma.data(),
                              .rstd_N = kept.rstd.data(),
                              .mean_N = kept.mean.data(),
                              .n = n,
                              .d = d};
      const auto backward = kind == norm_kind::layer ? layer_norm_backward : rms_norm_backward;
      backward(on_card, args);
      args.dx_ND = twin_dx.data();
      args.dgamma_D = twin_dgamma.data();
      args.dbeta_D = twin_dbeta.data();
      args.dy_ND = twin_dy.data();
      args.x_ND = twin_x.data();
      args.gamma_D = twin_gamma.data();
      backward(on_host, args);
      expect_near("norm backward", dx, want.dx_ND, twin_dx);
      EXPECT_TRUE(test::near_oracle("norm backward, parameters", type(), dgamma, want.dgamma_D, 1e-12));
      EXPECT_LT(test::relative_error(dgamma, to_double(twin_dgamma)), 1e-12);
      if (kind == norm_kind::layer) {
        EXPECT_TRUE(test::near_oracle("norm backward, parameters", type(), dbeta, want.dbeta_D, 1e-12));
        EXPECT_LT(test::relative_error(dbeta, to_double(twin_dbeta)), 1e-12);
      } else {
        EXPECT_EQ(dbeta, test::random_values(d, 8));
      }
    }
  }
}

TEST_P(CudaNormTest, ARowsBitsAreItsOwn) {
  for (const norm_kind kind : kinds) {
    const int64_t n = 3, d = 700;
    const std::vector<float> x = random_operand(n * d, 1).values();
    const operand gamma = random_operand(d, 3), beta = random_operand(d, 4);
    const std::vector<float> together =
        forward(on_card, kind, n, d, operand(x, type()), nullptr, gamma, beta).y.values();
    for (int64_t row = 0; row < n; ++row) {
      const auto first = static_cast<size_t>(row * d), end = first + static_cast<size_t>(d);
      const operand own({x.begin() + row * d, x.begin() + (row + 1) * d}, type());
      const std::vector<float> alone = forward(on_card, kind, 1, d, own, nullptr, gamma, beta).y.values();
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + static_cast<int64_t>(first),
                             together.begin() + static_cast<int64_t>(end)));
    }
  }
}

TEST_P(CudaNormTest, EachOrderOfThreadsGivesTheSameBits) {
  const auto rising = emulation::make_card();
  context in_order{pool, rising.get()};
  for (const norm_kind kind : kinds) {
    const int64_t n = 130, d = 300;
    const operand x = random_operand(n * d, 1), gamma = random_operand(d, 3), beta = random_operand(d, 4);
    const forward_results one = forward(on_card, kind, n, d, x, nullptr, gamma, beta);
    const forward_results other = forward(in_order, kind, n, d, x, nullptr, gamma, beta);
    EXPECT_EQ(one.y, other.y);
    EXPECT_EQ(one.rstd, other.rstd);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaNormTest, test::card_cases(), test::card_case_name);

}  // namespace
}  // namespace troupe::kernels
