#include "kernels/activation.hpp"
#include "support/activation_oracle.hpp"
#include "support/emulation/card_test.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace troupe::kernels {
namespace {

using test::operand;
using test::widened;

constexpr activation kinds[] = {activation::relu, activation::gelu_tanh, activation::gelu_erf, activation::silu};

using CudaActivationTest = test::CardTest;

constexpr int64_t shapes[][2] = {{0, 3}, {1, 1}, {3, 31}, {5, 33}, {2, 768}, {2, 1100}};

TEST_P(CudaActivationTest, ForwardAndBackwardAreNearTheirOracles) {
  for (const activation kind : kinds) {
    for (const auto& [n, f] : shapes) {
      operand x = random_operand(n * f, 1, 12.0), y = empty_operand(n * f);
      operand dy = random_operand(n * f, 2), dx = dy;
      activation_forward(on_card, {.y_NF = y.data(), .x_NF = x.data(), .n = n, .f = f, .kind = kind});
      activation_backward(on_card,
                          {.dx_NF = dx.data(), .dy_NF = dx.data(), .x_NF = x.data(), .n = n, .f = f, .kind = kind});
      operand twin_x = widened(x), twin_y = widened(y), twin_dx = widened(dy);
      activation_forward(on_host, {.y_NF = twin_y.data(), .x_NF = twin_x.data(), .n = n, .f = f, .kind = kind});
      activation_backward(
          on_host,
          {.dx_NF = twin_dx.data(), .dy_NF = twin_dx.data(), .x_NF = twin_x.data(), .n = n, .f = f, .kind = kind});
      std::vector<double> want_y, want_dx;
      const std::vector<float> xs = x.values(), dys = dy.values();
      for (size_t i = 0; i < xs.size(); ++i) {
        want_y.push_back(test::activation_oracle(kind, static_cast<double>(xs[i])));
        want_dx.push_back(test::activation_slope(kind, static_cast<double>(xs[i])) * static_cast<double>(dys[i]));
      }
      expect_near("activation forward", y, want_y, twin_y);
      expect_near("activation backward", dx, want_dx, twin_dx);
    }
  }
}

TEST_P(CudaActivationTest, GatedFormIsTheProductWithUp) {
  for (const activation kind : kinds) {
    for (const auto& [n, f] : shapes) {
      operand gate_up = random_operand(n * 2 * f, 3, 6.0), dgate_up = gate_up;  // in place
      operand dy = random_operand(n * f, 4), y = empty_operand(n * f);
      gated_activation_forward(on_card,
                               {.y_NF = y.data(), .gate_up_N2F = gate_up.data(), .n = n, .f = f, .kind = kind});
      gated_activation_backward(on_card, {.dgate_up_N2F = dgate_up.data(),
                                          .dy_NF = dy.data(),
                                          .gate_up_N2F = dgate_up.data(),
                                          .n = n,
                                          .f = f,
                                          .kind = kind});
      operand twin_gate_up = widened(gate_up), twin_dy = widened(dy), twin_y = widened(y);
      gated_activation_forward(
          on_host, {.y_NF = twin_y.data(), .gate_up_N2F = twin_gate_up.data(), .n = n, .f = f, .kind = kind});
      gated_activation_backward(on_host, {.dgate_up_N2F = twin_gate_up.data(),
                                          .dy_NF = twin_dy.data(),
                                          .gate_up_N2F = twin_gate_up.data(),
                                          .n = n,
                                          .f = f,
                                          .kind = kind});
      const std::vector<float> in = gate_up.values(), dys = dy.values();
      std::vector<double> want_y, want_dgate_up(in.size());
      for (int64_t i = 0; i < n * f; ++i) {
        const auto at = static_cast<size_t>(i / f * 2 * f + i % f), up_at = at + static_cast<size_t>(f);
        const double gate = in[at], up = in[up_at], dy_i = dys[static_cast<size_t>(i)];
        want_y.push_back(test::activation_oracle(kind, gate) * up);
        want_dgate_up[at] = test::activation_slope(kind, gate) * up * dy_i;
        want_dgate_up[up_at] = test::activation_oracle(kind, gate) * dy_i;
      }
      expect_near("gated activation forward", y, want_y, twin_y);
      expect_near("gated activation backward", dgate_up, want_dgate_up, twin_gate_up);
    }
  }
}

TEST_P(CudaActivationTest, SumsAreRoundedOnce) {
  for (const int64_t count : {0, 1, 257, 1000}) {
    operand x = random_operand(count, 5), y = random_operand(count, 6);
    const std::vector<float> xs = x.values(), before = y.values();
    add_in_place(on_card, y.data(), x.data(), count);
    std::vector<float> want;
    for (size_t i = 0; i < xs.size(); ++i) {
      want.push_back(before[i] + xs[i]);
    }
    EXPECT_EQ(y, operand(want, type()));
  }
}

TEST_P(CudaActivationTest, NanPassesThrough) {
  for (const activation kind : kinds) {
    operand x({{NAN}}, type()), y = empty_operand(1);
    activation_forward(on_card, {.y_NF = y.data(), .x_NF = x.data(), .n = 1, .f = 1, .kind = kind});
    EXPECT_TRUE(std::isnan(y.values()[0]));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaActivationTest, test::card_cases(), test::card_case_name);

}  // namespace
}  // namespace troupe::kernels
