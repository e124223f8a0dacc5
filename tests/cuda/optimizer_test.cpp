/// The card's optimizer against the host's: equal to the last bit.
#include "kernels/matrix.hpp"
#include "kernels/optimizer.hpp"
#include "support/emulation/card_test.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::kernels {
namespace {

using emulation::thread_order;
using test::random_values;

class CudaOptimizerTest : public testing::TestWithParam<thread_order> {
protected:
  thread_pool pool{2};
  std::unique_ptr<device> card = emulation::make_card({.threads = {.order = GetParam(), .seed = 11}});
  context on_card{pool, card.get()};
  context on_host{pool};
};

struct arenas {
  explicit arenas(int64_t count)
      : weight(random_values(count, 1)), first(weight.size()), second(weight.size()), compute(weight.size()) {}

  void step(context& ctx, const std::vector<float>& gradient, int64_t t) {
    adamw_update(ctx, {.weight = weight.data(),
                       .compute = compute.data(),
                       .first_moment = first.data(),
                       .second_moment = second.data(),
                       .gradient = gradient.data(),
                       .count = static_cast<int64_t>(gradient.size()),
                       .learning_rate = 3e-3F,
                       .weight_decay = 0.1F,
                       .gradient_scale = 0.37F,
                       .step = t});
  }

  std::vector<float> weight, first, second;
  std::vector<bf16> compute;
};

TEST_P(CudaOptimizerTest, AdamwHasTheHostsBits) {
  for (const int64_t count : {0, 1, 33, 10007}) {
    arenas here(count), there(count);
    std::vector<double> w(here.weight.begin(), here.weight.end()), m(w.size()), v(w.size());
    for (int64_t t = 1; t <= 3; ++t) {
      // Sizes that differ by orders of magnitude, subnormal squares and zeros among them.
      std::vector<float> gradient = random_values(count, static_cast<uint64_t>(10 + t));
      for (size_t i = 0; i < gradient.size(); ++i) {
        gradient[i] = std::ldexp(gradient[i], -static_cast<int>(i % 80)) * (i % 11 == 0 ? 0.0F : 1.0F);
      }
      here.step(on_host, gradient, t);
      there.step(on_card, gradient, t);
      for (size_t i = 0; i < w.size(); ++i) {
        const double g = 0.37 * static_cast<double>(gradient[i]);
        m[i] = 0.9 * m[i] + 0.1 * g;
        v[i] = 0.95 * v[i] + 0.05 * g * g;
        w[i] -=
            3e-3 * (0.1 * w[i] + m[i] / (1 - std::pow(0.9, t)) / (std::sqrt(v[i] / (1 - std::pow(0.95, t))) + 1e-8));
      }
    }
    EXPECT_EQ(there.weight, here.weight);
    EXPECT_EQ(there.first, here.first);
    EXPECT_EQ(there.second, here.second);
    EXPECT_TRUE(test::near_oracle("adamw", dtype::f32, there.weight, w, 1e-12));
    for (size_t i = 0; i < there.compute.size(); ++i) {
      EXPECT_EQ(there.compute[i].bits, to_bf16(here.weight[i]).bits);
    }
  }
}

TEST_P(CudaOptimizerTest, WithoutAComputeWeightNoneIsWritten) {
  arenas one(100), other(100);
  const std::vector<float> gradient = random_values(100, 2);
  one.step(on_card, gradient, 1);
  adamw_update(on_card, {.weight = other.weight.data(),
                         .first_moment = other.first.data(),
                         .second_moment = other.second.data(),
                         .gradient = gradient.data(),
                         .count = 100,
                         .learning_rate = 3e-3F,
                         .weight_decay = 0.1F,
                         .gradient_scale = 0.37F});
  EXPECT_EQ(one.weight, other.weight);
}

TEST_P(CudaOptimizerTest, SumsOfSquaresHaveTheHostsBits) {
  for (const int64_t count : {0, 1, 15, 17, 4096, 4097, 20011}) {
    const std::vector<float> x = random_values(count, 3, 100.0);
    double want = 0;
    for (const float value : x) {
      want += static_cast<double>(value) * value;
    }
    EXPECT_EQ(sum_of_squares(on_card, x.data(), count), sum_of_squares(on_host, x.data(), count));
    EXPECT_NEAR(sum_of_squares(on_card, x.data(), count), want, 1e-12 * want);
  }
  const std::vector<float> x = random_values(30000, 4);
  // Empty ranges at both ends and in the middle; ranges below, of and above one block.
  const std::vector<int64_t> offset_P1{7, 7, 20, 4116, 4116, 4116, 17000, 30000, 30000};
  std::vector<double> here(8, -1.0), there(8, -1.0);
  sums_of_squares(on_host, x.data(), offset_P1, here);
  sums_of_squares(on_card, x.data(), offset_P1, there);
  EXPECT_EQ(there, here);
  sums_of_squares(on_card, x.data(), std::span(offset_P1).first(1), {});
}

/// Rows on the card, panels on the host: units of one input, of one block and of more, vectors between them.
TEST_P(CudaOptimizerTest, SumsOfSquaresOfUnitsAreThoseOfTheirPanels) {
  const std::vector<int64_t> inputs_P{1, 0, 31, 128, 0, 129, 300, 0};
  const std::vector<int64_t> size_P{32, 50, 31 * 32, 128 * 32, 5000, 129 * 32, 300 * 32, 0};
  std::vector<int64_t> offset_P1{0};
  std::vector<float> panels, rows;
  for (size_t p = 0; p < size_P.size(); ++p) {
    offset_P1.push_back(offset_P1.back() + size_P[p]);
    const std::vector<float> unit = random_values(size_P[p], 20 + p, 100.0);
    rows.insert(rows.end(), unit.begin(), unit.end());
    std::vector<float> of_host = unit;
    if (inputs_P[p] > 0) {
      to_panels(unit.data(), panel_width, inputs_P[p], of_host.data());
    }
    panels.insert(panels.end(), of_host.begin(), of_host.end());
  }
  std::vector<double> here(size_P.size(), -1.0), there(size_P.size(), -1.0), plain(size_P.size());
  sums_of_squares(on_host, panels.data(), offset_P1, here, inputs_P);
  sums_of_squares(on_card, rows.data(), offset_P1, there, inputs_P);
  EXPECT_EQ(there, here);
  sums_of_squares(on_card, rows.data(), offset_P1, plain);
  EXPECT_NE(plain, here) << "the order of the values shows in the bits";
  const std::vector<int64_t> wrong{1, 0, 30, 128, 0, 129, 300, 0};
  test::expect_error(errc::shape_mismatch, "unit 2 of 30 inputs has 992 values",
                     [&] { sums_of_squares(on_card, rows.data(), offset_P1, there, wrong); });
}

TEST_P(CudaOptimizerTest, AveragesHaveTheHostsBits) {
  for (const int64_t count : {0, 1, 1000}) {
    for (const float decay : {0.0F, 0.992F, 1.0F}) {
      std::vector<float> here = random_values(count, 5), there = here;
      const std::vector<float> values = random_values(count, 6);
      std::vector<double> want;
      for (size_t i = 0; i < here.size(); ++i) {
        want.push_back(static_cast<double>(decay) * here[i] + (1.0 - static_cast<double>(decay)) * values[i]);
      }
      fold_average(on_host, here.data(), values.data(), count, decay);
      fold_average(on_card, there.data(), values.data(), count, decay);
      EXPECT_EQ(there, here);
      EXPECT_TRUE(test::near_oracle("average", dtype::f32, there, want, 1e-12));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, CudaOptimizerTest,
                         testing::Values(thread_order::rising, thread_order::falling, thread_order::shuffled));

}  // namespace
}  // namespace troupe::kernels
