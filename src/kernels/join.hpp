/// The sum of one array over ranks, in one order, whatever moves the pieces.
#pragma once

#include "base/context.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe::kernels {

/// sum[i] = the pieces' values i, joined by a fixed tree, in float32:
///   join(first .. last) = the value of a single piece, or
///                         join(first .. first + p) + join(first + p .. last), p the largest power of two below last
///                         - first.
/// The tree is that of lane_sums (engine/optim/lane_sums.hpp), which a binary counter builds: equal levels are
/// joined as they come, what is left at the end from the right.  3: (0+1)+2.   6: ((0+1)+(2+3))+(4+5).
/// On the host, by the calling thread.
/// Shapes  pieces_R [R >= 1] pointers to `count` floats each. `sum` may be one of them.
void join_pieces(std::span<const float* const> pieces_R, int64_t count, float* sum);

inline constexpr size_t most_pieces_on_a_card = 256;  ///< their addresses are arguments of one kernel

/// The same where `ctx` computes.
/// Errors  bad_argument: no pieces, or too many for a card.
void join_pieces(context& ctx, std::span<const float* const> pieces_R, int64_t count, float* sum);

}  // namespace troupe::kernels
