/// Causal attention with grouped-query heads, over packed sequences and over a paged key/value
/// cache. No T x T array exists: keys are taken in tiles of 64 counted from the start of the
/// sequence, with a running maximum and sum (Milakov & Gimelshein, arXiv:1805.02867; Dao et al.,
/// arXiv:2205.14135).
///
///   a_ij = scale * q_i . k_j + slope_h * (j - i),  j <= i;   out_i = sum_j softmax_j(a_i) v_j
///
/// Bits    The packed and the paged form run the same tile code, so prefill + decode equals one
/// forward, and a row
///         does not depend on the batch, on threads or on the vector width.
/// Rows    of qkv_NE: H query heads, then G key heads, then G value heads, each K wide: E = (H +
/// 2G) K.
///         Query head h reads key/value head h / (H / G).
#pragma once

#include "base/context.hpp"

#include <cstdint>
#include <span>

namespace troupe::kernels {

inline constexpr int64_t attention_tile = 64;  ///< keys per tile, and positions per page

struct attention_shape {
  int64_t heads = 0, kv_heads = 0, head_width = 0;
  float scale = 1.0F;
  const float* alibi_slope_H = nullptr;  ///< null: no ALiBi
  int64_t row_width() const { return (heads + 2 * kv_heads) * head_width; }
};

struct attention_args {
  attention_shape shape;
  float* out_NHK = nullptr;
  float* lse_NH = nullptr;  ///< log sum exp of each row's a, saved for backward; may be null
  const float* qkv_NE = nullptr;
  std::span<const int64_t> offset_B1;  ///< B + 1 row offsets; an empty sequence is allowed
};

void attention_forward(context& ctx, const attention_args& args);

struct attention_backward_args {
  attention_shape shape;
  float* dqkv_NE = nullptr;  ///< overwritten
  const float* dout_NHK = nullptr;
  const float* out_NHK = nullptr;
  const float* lse_NH = nullptr;
  const float* qkv_NE = nullptr;
  std::span<const int64_t> offset_B1;
};

void attention_backward(context& ctx, const attention_backward_args& args);

/// One layer's cache. A page holds 64 positions of one sequence: keys [G, K, 64], values [G, 64,
/// K]; what a page holds past the sequence's end is not used. Pages may be shared by sequences with
/// a common prefix.
struct kv_pages {
  float* keys = nullptr;
  float* values = nullptr;
  int64_t page_floats(const attention_shape& shape) const { return shape.kv_heads * shape.head_width * attention_tile; }
};

/// A sequence's new rows: rows [first_row, first_row + rows) of the call stand at its positions
/// [first_position, first_position + rows). page_table[p] is the page of positions [64 p, 64 p +
/// 64).
struct paged_sequence {
  std::span<const int32_t> page_table;
  int64_t first_row = 0, rows = 0, first_position = 0;
};

struct paged_attention_args {
  attention_shape shape;
  float* out_NHK = nullptr;
  const float* qkv_NE = nullptr;  ///< the new rows of all sequences
  kv_pages pages;
  std::span<const paged_sequence> sequences;
};

/// Writes the keys and values of the new rows into their pages, then attends from the new rows to
/// all of the pages.
void paged_attention_forward(context& ctx, const paged_attention_args& args);

}  // namespace troupe::kernels
