/// The operations of kernels/norm.hpp on a card. Statistics are float32; in bfloat16 the residual stream is rounded
/// before it is normalised, as it is kept.
/// Bits    A row is one block, whose threads are a function of D alone: the row's bits depend on nothing else.
///         Gradients of gamma and beta are sums over pieces of 64 rows, rows rising, joined in rising order.
#pragma once

#include "kernels/norm.hpp"

namespace troupe::kernels::cuda {

void layer_norm_forward(context& ctx, const norm_args& args);
void rms_norm_forward(context& ctx, const norm_args& args);
void layer_norm_backward(context& ctx, const norm_backward_args& args);
void rms_norm_backward(context& ctx, const norm_backward_args& args);

}  // namespace troupe::kernels::cuda
