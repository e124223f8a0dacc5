/// CPU twins of embedding.hpp; arguments have been checked.
#pragma once

#include "kernels/embedding.hpp"

namespace troupe::kernels::cpu {

void embedding_forward(context& ctx, const embedding_args& args);
void embedding_backward(context& ctx, const embedding_backward_args& args);

}  // namespace troupe::kernels::cpu
