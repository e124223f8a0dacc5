/// Element-wise non-linearities of the feed-forward block.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>

namespace troupe::kernels {

enum class activation { relu, gelu_tanh, gelu_erf, silu };

struct activation_args {
  reals y_NF = nullptr;
  const_reals x_NF = nullptr;
  int64_t n = 0, f = 0;
  activation kind = activation::relu;
};

/// relu: max(x, 0).  gelu_erf: x Phi(x).  gelu_tanh: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
/// silu: x sigmoid(x).
/// Source  Hendrycks & Gimpel, arXiv:1606.08415.
void activation_forward(context& ctx, const activation_args& args);

struct activation_backward_args {
  reals dx_NF = nullptr;  ///< overwritten; may be dy_NF itself
  const_reals dy_NF = nullptr;
  const_reals x_NF = nullptr;
  int64_t n = 0, f = 0;
  activation kind = activation::relu;
};

void activation_backward(context& ctx, const activation_backward_args& args);

struct gated_activation_args {
  reals y_NF = nullptr;
  const_reals gate_up_N2F = nullptr;  ///< each row: F gate values, then F up values
  int64_t n = 0, f = 0;
  activation kind = activation::silu;
};

/// y = act(gate) * up.
/// Source  Shazeer, arXiv:2002.05202.
void gated_activation_forward(context& ctx, const gated_activation_args& args);

struct gated_activation_backward_args {
  reals dgate_up_N2F = nullptr;  ///< overwritten; may be gate_up_N2F itself
  const_reals dy_NF = nullptr;
  const_reals gate_up_N2F = nullptr;
  int64_t n = 0, f = 0;
  activation kind = activation::silu;
};

void gated_activation_backward(context& ctx, const gated_activation_backward_args& args);

/// y += x, element by element, over `count` values.
void add_in_place(context& ctx, reals y, const_reals x, int64_t count);

}  // namespace troupe::kernels
