/// CPU twins of norm.hpp; arguments have been checked.
#pragma once

#include "kernels/norm.hpp"

namespace troupe::kernels::cpu {

void layer_norm_forward(context& ctx, const norm_args& args);
void rms_norm_forward(context& ctx, const norm_args& args);
void layer_norm_backward(context& ctx, const norm_backward_args& args);
void rms_norm_backward(context& ctx, const norm_backward_args& args);

}  // namespace troupe::kernels::cpu
