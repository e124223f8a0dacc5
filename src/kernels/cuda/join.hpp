/// The operation of kernels/join.hpp on a card, with the bits of the host.
#pragma once

#include "kernels/join.hpp"

namespace troupe::kernels::cuda {

void join_pieces(context& ctx, std::span<const float* const> pieces_R, int64_t count, float* sum);

}  // namespace troupe::kernels::cuda
