#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/join.hpp"

namespace troupe::kernels::cuda {

namespace {

struct piece_list {
  const float* at[most_pieces_on_a_card];
  int count;
};

constexpr int levels = 9;  ///< of a tree of most_pieces_on_a_card pieces
static_assert(most_pieces_on_a_card == 1 << (levels - 1));

/// A binary counter: level l holds the sum of 2^l pieces, or nothing.
__global__ void join_kernel(float* sum, piece_list pieces, int64_t count) {
  const int64_t i = element_index();
  if (i >= count) {
    return;
  }
  float at_level[levels];
  unsigned held = 0;
  for (int r = 0; r < pieces.count; ++r) {
    float carried = pieces.at[r][i];
    bool carries = true;
#pragma unroll
    for (int level = 0; level < levels; ++level) {
      const unsigned bit = 1U << level;
      if (carries && (held & bit) != 0) {
        carried = __fadd_rn(at_level[level], carried);
        held &= ~bit;
      } else if (carries) {
        at_level[level] = carried;
        held |= bit;
        carries = false;
      }
    }
  }
  float joined = 0.0F;
  bool any = false;
#pragma unroll
  for (int level = 0; level < levels; ++level) {  // from the right: the last pieces stand at the lowest level
    if ((held & (1U << level)) != 0) {
      joined = any ? __fadd_rn(at_level[level], joined) : at_level[level];
      any = true;
    }
  }
  sum[i] = joined;
}

}  // namespace

void join_pieces(context& ctx, std::span<const float* const> pieces_R, int64_t count, float* sum) {
  if (count == 0) {
    return;
  }
  piece_list pieces{.count = static_cast<int>(pieces_R.size())};
  for (size_t r = 0; r < pieces_R.size(); ++r) {
    pieces.at[r] = pieces_R[r];
  }
  launch(join_kernel, blocks_by_element(count), element_block(), compute_stream(ctx), sum, pieces, count);
}

}  // namespace troupe::kernels::cuda
