/// The operations of kernels/activation.hpp on a card. Float32 inside, each result rounded once.
#pragma once

#include "kernels/activation.hpp"

namespace troupe::kernels::cuda {

void activation_forward(context& ctx, const activation_args& args);
void activation_backward(context& ctx, const activation_backward_args& args);
void gated_activation_forward(context& ctx, const gated_activation_args& args);
void gated_activation_backward(context& ctx, const gated_activation_backward_args& args);
void add_in_place(context& ctx, reals y, const_reals x, int64_t count);

}  // namespace troupe::kernels::cuda
