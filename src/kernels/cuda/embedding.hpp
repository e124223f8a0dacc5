/// The operations of kernels/embedding.hpp on a card, where a table [rows, D] lies row after row: in float32 with the
/// bits of the host.
#pragma once

#include "kernels/embedding.hpp"

namespace troupe::kernels::cuda {

void embedding_forward(context& ctx, const embedding_args& args);
/// One block a distinct index and piece of the row, its rows of dy in rising order.
void embedding_backward(context& ctx, const embedding_backward_args& args);

}  // namespace troupe::kernels::cuda
