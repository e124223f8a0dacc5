/// How a product is cut into tiles, blocks and tasks. None of it reaches the bits of the result.
#pragma once

#include "base/round_up.hpp"
#include "kernels/cpu/matrix.hpp"

#include <algorithm>
#include <cstdint>

namespace troupe::kernels::cpu {

/// The `i`-th of `parts` nearly equal parts of [0, total) begins here.
constexpr int64_t part_begin(int64_t total, int64_t parts, int64_t i) {
  return i * (total / parts) + std::min(i, total % parts);
}

/// Decoding: few enough rows that reading the weight takes as long as multiplying it.
constexpr bool few_tiles(int64_t tiles) { return tiles <= 4; }

/// A chunk of rows of C and a span of k for which A is packed at once.
struct packed_span {
  int64_t row_begin = 0, rows = 0;
  int64_t k_begin = 0, k_size = 0;
  int64_t k_block = 0;  ///< k in a block; a multiple of 32
  int64_t tiles = 0;    ///< of rows
  const float* packed = nullptr;

  int64_t k_blocks() const { return divide_up(k_size, k_block); }
  int64_t block_size(int64_t block) const { return std::min(k_block, k_size - block * k_block); }
  int64_t tile_begin(int64_t tile) const { return part_begin(rows, tiles, tile); }
  int64_t tile_rows(int64_t tile) const { return tile_begin(tile + 1) - tile_begin(tile); }
  /// Where tile `tile` of block `block` lies in `packed`: [block_size, tile_rows].
  int64_t tile_offset(int64_t block, int64_t tile) const {
    return block * k_block * rows + tile_begin(tile) * block_size(block);
  }
};

/// The part of C that a task computes.
struct product_task {
  int64_t tile_begin = 0, tile_end = 0;
  int64_t panel_begin = 0, panel_end = 0;
};

}  // namespace troupe::kernels::cpu
