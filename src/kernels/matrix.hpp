/// Matrix products around one weight layout. Every weight matrix of a model lives in panels, always: forward, decode,
/// scoring, gradients and optimizer moments share the layout, so nothing is ever repacked. Files hold plain rows.
///
/// Panels  W [O, I] (as a Hugging Face Linear: O outputs, I inputs) is ceil(O / 32) panels, each [I, 32] row-major:
///         W(o, i) is at (o / 32) * I * 32 + i * 32 + o % 32. Columns past O are zero and stay zero under training.
/// Bits    Each output element is one chain of fused multiply-adds over the inner dimension in rising order, started
///         from the bias (or from what is accumulated onto). So a row's bits do not depend on N, on the other rows,
///         on threads or on the vector width (where the CPU has FMA). A weight in bfloat16 gives what its values give
///         in float32.
/// Cards   have rows instead of panels, and chains of their own in bfloat16: kernels/cuda/matrix.hpp.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"
#include "base/round_up.hpp"

#include <cstdint>

namespace troupe::kernels {

inline constexpr int64_t panel_width = 32;

/// Floats that a calling thread keeps to pack rows of x, about: 4 MiB, which stay in the third-level cache until they
/// are used.
inline constexpr int64_t product_scratch_floats = int64_t{1} << 20;

/// Floats that a weight [outputs, inputs] takes in panels, padding included.
constexpr int64_t panels_size(int64_t outputs, int64_t inputs) { return round_up(outputs, panel_width) * inputs; }

/// Rows to panels (padding is written as 0; bfloat16 by to_bf16) and back.
void to_panels(const float* weight_OI, int64_t outputs, int64_t inputs, reals panels);
void from_panels(const_reals panels, int64_t outputs, int64_t inputs, float* weight_OI);

struct linear_args {
  reals y_NO = nullptr;          ///< [N, O]
  const_reals x_NI = nullptr;    ///< [N, I]
  const_reals weight = nullptr;  ///< panels of W [O, I]
  const_reals bias_O = nullptr;  ///< [O] or null
  int64_t n = 0, outputs = 0, inputs = 0;
  int64_t y_stride = 0;     ///< floats between rows of y; 0: O
  int64_t x_stride = 0;     ///< floats between rows of x; 0: I
  bool accumulate = false;  ///< y += x W^T (no bias) instead of y = x W^T + bias
};

/// y = x W^T + bias.
void linear_forward(context& ctx, const linear_args& args);

struct linear_backward_input_args {
  reals dx_NI = nullptr;         ///< [N, I]
  const_reals dy_NO = nullptr;   ///< [N, O]
  const_reals weight = nullptr;  ///< panels of W [O, I]
  int64_t n = 0, outputs = 0, inputs = 0;
  int64_t dy_stride = 0;    ///< floats between rows of dy; 0: O
  bool accumulate = false;  ///< dx += instead of dx =
};

/// dx = dy W.
void linear_backward_input(context& ctx, const linear_backward_input_args& args);

struct linear_backward_weight_args {
  float* dweight = nullptr;     ///< panels of dW [O, I]; accumulated onto
  float* dbias_O = nullptr;     ///< [O] or null; accumulated onto
  const_reals x_NI = nullptr;   ///< [N, I]
  const_reals dy_NO = nullptr;  ///< [N, O]
  int64_t n = 0, outputs = 0, inputs = 0;
  int64_t dy_stride = 0;  ///< floats between rows of dy; 0: O
};

/// dW += dy^T x, dbias += column sums of dy (rows in rising order).
void linear_backward_weight(context& ctx, const linear_backward_weight_args& args);

}  // namespace troupe::kernels
