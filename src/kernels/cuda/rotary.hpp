/// The operations of kernels/rotary.hpp on a card: in float32 with the bits of the host.
#pragma once

#include "kernels/rotary.hpp"

namespace troupe::kernels::cuda {

void rotary_forward(context& ctx, const rotary_args& args);
void rotary_backward(context& ctx, const rotary_args& args);

}  // namespace troupe::kernels::cuda
