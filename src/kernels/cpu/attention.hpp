/// CPU twins of attention.hpp; arguments have been checked.
#pragma once

#include "kernels/attention.hpp"

namespace troupe::kernels::cpu {

void attention_forward(context& ctx, const attention_args& args);
void attention_backward(context& ctx, const attention_backward_args& args);
void paged_attention_forward(context& ctx, const paged_attention_args& args);

}  // namespace troupe::kernels::cpu
