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
#include "base/reals.hpp"

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
  reals out_NHK = nullptr;
  float* lse_NH = nullptr;  ///< log sum exp of each row's a, saved for backward; may be null
  const_reals qkv_NE = nullptr;
  std::span<const int64_t> offset_B1;  ///< B + 1 row offsets; an empty sequence is allowed
  std::span<const int32_t> tile_T2;    ///< for a card alone: for each 64 rows their sequence and their tile in it
};

void attention_forward(context& ctx, const attention_args& args);

struct attention_backward_args {
  attention_shape shape;
  reals dqkv_NE = nullptr;  ///< overwritten
  const_reals dout_NHK = nullptr;
  const_reals out_NHK = nullptr;
  const float* lse_NH = nullptr;
  const_reals qkv_NE = nullptr;
  std::span<const int64_t> offset_B1;
  std::span<const int32_t> tile_T2;  ///< as in forward
};

void attention_backward(context& ctx, const attention_backward_args& args);

/// One layer's cache. A page holds 64 positions of one sequence: keys [G, K, 64] (on a card [G, 64, K]), values [G, 64,
/// K]; what a page holds past the sequence's end is not used. Pages may be shared by sequences with
/// a common prefix.
struct kv_pages {
  reals keys = nullptr;
  reals values = nullptr;
  int64_t page_floats(const attention_shape& shape) const { return shape.kv_heads * shape.head_width * attention_tile; }
};

/// The sequences of a paged call. Sequence s has the new rows [row_S1[s], row_S1[s + 1]), which stand at its positions
/// from position_S[s] on; page_SP[s * stride + p] is the page of its positions [64 p, 64 p + 64).
/// On a card position_S[s] may be -1: the sequence is absent. Its one row touches no page, and what comes out for it is
/// not defined. So calls of one shape serve any number of sequences.
struct page_map {
  const int32_t* page_SP = nullptr;  ///< [S, stride]; behind a sequence's last page is what is not looked at
  const int64_t* row_S1 = nullptr;   ///< from 0, rising; a sequence may have no new row
  const int32_t* position_S = nullptr;
  int64_t sequences = 0, stride = 0;
  int64_t rows = 0;     ///< for a card alone: of all sequences
  int64_t longest = 0;  ///< for a card alone: no sequence has more positions
};

struct paged_attention_args {
  attention_shape shape;
  reals out_NHK = nullptr;
  const_reals qkv_NE = nullptr;  ///< the new rows of all sequences
  kv_pages pages;
  page_map where;
};

/// Writes the keys and values of the new rows into their pages, then attends from the new rows to
/// all of the pages.
void paged_attention_forward(context& ctx, const paged_attention_args& args);

}  // namespace troupe::kernels
