/// Rotary position embedding in the half-split layout of Hugging Face: dimension i of the first `rotated / 2` turns
/// with dimension i + rotated / 2; dimensions past `rotated` stay as they are.
/// Source  Su et al., arXiv:2104.09864. The angles (theta, linear and llama3 scaling) come in a table.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>

namespace troupe::kernels {

struct rotary_args {
  reals x_NE = nullptr;    ///< rows that hold `heads` heads of `head_width`; turned in place
  int64_t row_stride = 0;  ///< E: floats between rows (queries and keys stand in one fused row)
  int64_t n = 0, heads = 0, head_width = 0;
  int64_t rotated = 0;                  ///< R, even, at most head_width
  const int32_t* position_N = nullptr;  ///< each in [0, P)
  const float* cos_PR2 = nullptr;       ///< [P, R/2]
  const float* sin_PR2 = nullptr;
};

void rotary_forward(context& ctx, const rotary_args& args);
/// The transpose, that is the rotation by the opposite angle: turns a gradient back in place.
void rotary_backward(context& ctx, const rotary_args& args);

}  // namespace troupe::kernels
