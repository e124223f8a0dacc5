/// What forward and backward of attention on a card share: how rows of heads lie, and what a score is.
#pragma once

#include "base/assert.hpp"
#include "kernels/attention.hpp"
#include "kernels/cuda/thread.cuh"

#include <cstdint>
#include <type_traits>

namespace troupe::kernels::cuda {

inline constexpr float log2_e = 1.44269504F, ln_2 = 0.693147181F;
inline constexpr float minus_infinity = -__builtin_huge_valf();

/// A row of qkv is H query heads, G key heads, G value heads, each `width` wide.
struct head_layout {
  int64_t heads = 0, kv_heads = 0, width = 0, row = 0;  ///< row: values in a row
  int group = 1;                                        ///< query heads of one key/value head
  float scale = 1.0F;
  const float* slope_H = nullptr;

  __device__ int64_t key_column(int64_t kv_head) const { return (heads + kv_head) * width; }
  __device__ int64_t value_column(int64_t kv_head) const { return (heads + kv_heads + kv_head) * width; }
  __device__ float slope(int64_t head) const { return slope_H != nullptr ? slope_H[head] : 0.0F; }
};

inline head_layout layout_of(const attention_shape& shape) {
  return {.heads = shape.heads,
          .kv_heads = shape.kv_heads,
          .width = shape.head_width,
          .row = shape.row_width(),
          .group = static_cast<int>(shape.heads / shape.kv_heads),
          .scale = shape.scale,
          .slope_H = shape.alibi_slope_H};
}

/// The block's number along x, from the last one: a sequence's last queries see most keys, and begin first.
__device__ inline int64_t block_from_last() { return gridDim.x - 1 - blockIdx.x; }

/// A tile of 64 positions of a packed sequence: entry `i` of the tiles.
struct packed_tile {
  int64_t start = 0;        ///< the sequence's first row in the call
  int length = 0;           ///< of the sequence
  int first = 0, rows = 0;  ///< the tile's positions; 0 or less: it has none

  __device__ packed_tile(const int64_t* offset_B1, const int32_t* tile_T2, int64_t i) {
    const int32_t sequence = tile_T2[2 * i];
    start = offset_B1[sequence];
    length = static_cast<int>(offset_B1[sequence + 1] - start);
    first = tile_T2[2 * i + 1] * static_cast<int>(attention_tile);
    rows = length - first < attention_tile ? length - first : static_cast<int>(attention_tile);
  }
};

/// A score in units of log 2, so that its power is one instruction. distance: the key's position less the query's; the
/// keys behind the query do not count.
__device__ inline float score(float dot, float scale_log2, float slope_log2, int distance) {
  return distance > 0 ? minus_infinity
                      : __fmaf_rn(slope_log2, static_cast<float>(distance), __fmul_rn(dot, scale_log2));
}

/// Calls body(std::integral_constant<int, W>()) with the least W that a kernel exists for and heads of `width` fit in.
template <class Body> void with_head_width(int64_t width, const Body& body) {
  TROUPE_ASSERT(width <= 256);
  if (width <= 16) {
    body(std::integral_constant<int, 16>());
  } else if (width <= 32) {
    body(std::integral_constant<int, 32>());
  } else if (width <= 64) {
    body(std::integral_constant<int, 64>());
  } else if (width <= 80) {
    body(std::integral_constant<int, 80>());
  } else if (width <= 96) {
    body(std::integral_constant<int, 96>());
  } else if (width <= 128) {
    body(std::integral_constant<int, 128>());
  } else {
    body(std::integral_constant<int, 256>());
  }
}

/// Two values as the matrix units read them: the first in the lower half.
__device__ inline uint32_t pair_of(float first, float second) {
  return static_cast<uint32_t>(to_bf16(first).bits) | static_cast<uint32_t>(to_bf16(second).bits) << 16;
}

/// multiply_add's first operand out of two neighbouring results of 16 x 8.
__device__ inline void operand_from(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = pair_of(left[0], left[1]);
  a[1] = pair_of(left[2], left[3]);
  a[2] = pair_of(right[0], right[1]);
  a[3] = pair_of(right[2], right[3]);
}

}  // namespace troupe::kernels::cuda
