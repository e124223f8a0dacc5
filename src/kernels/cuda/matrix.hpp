/// The products of kernels/matrix.hpp on a card. A weight's order there is rows: W [O, I] is [ceil(O / 32) * 32, I]
/// row-major, rows past O zero, so that 32 outputs take the same place as in panels.
///
/// bfloat16  The matrix units add 16 products at a time to a float32: an element is one chain of such steps over the
///           inner dimension in rising order, whatever the tile and whichever operand comes first. K is never split.
///           What is added (bias, or what is accumulated onto) is added to the chain's end in float32. Operands are all
///           bfloat16; y, dx and bias may be float32.
/// float32   The chains of the CPU, with its bits: fused multiply-adds in rising order from the bias, or from what is
///           accumulated onto. The weight may be bfloat16.
#pragma once

#include "kernels/matrix.hpp"

namespace troupe::kernels::cuda {

void linear_forward(context& ctx, const linear_args& args);
void linear_backward_input(context& ctx, const linear_backward_input_args& args);
/// In bfloat16 dweight may be null: then the bias's gradient alone.
void linear_backward_weight(context& ctx, const linear_backward_weight_args& args);

}  // namespace troupe::kernels::cuda
