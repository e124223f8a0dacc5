/// A small matrix product for tiles that stand in cache: the inner loop of attention, forward and
/// backward.
///
///   C[r, c] = C[r, c] * factor[r] + sum_t A[r, t] B[t, c]        (factor null: C starts from 0)
///
/// Each element is one chain of fused multiply-adds, t rising, so its bits depend neither on the
/// other rows and columns of the call nor on the vector width. Vectors run over c.
#if defined(TROUPE_TILE_PRODUCT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_TILE_PRODUCT_INL_HPP
#undef TROUPE_TILE_PRODUCT_INL_HPP
#else
#define TROUPE_TILE_PRODUCT_INL_HPP
#endif

#include "kernels/cpu/vector_math-inl.hpp"

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

struct tile_product_args {
  const float* a = nullptr;
  int64_t a_row = 0, a_step = 1;  ///< floats between rows of A, and between its t
  const float* b = nullptr;
  int64_t b_row = 0;
  float* c = nullptr;
  int64_t c_row = 0;
  const float* factor = nullptr;
  int64_t rows = 0, columns = 0, steps = 0;
};

/// Rows that tile_product keeps in registers at a time.
inline constexpr int64_t product_rows = 6;

namespace tile_detail {

namespace hn = hwy::HWY_NAMESPACE;
using tag = troupe::HWY_NAMESPACE::float_tag;
using vector = hn::Vec<tag>;

/// What is left of six rows, or the heads that share a key when one token is decoded.
inline constexpr int few_rows = 3;

/// Vectors of a row that are summed at once. Accumulators, one row of B and one broadcast must fit the registers (32
/// with AVX-512, 16 without), and eight accumulators or more are wanted, since a chain waits four cycles for each of
/// its sums.
constexpr int vectors_of(int rows) { return HWY_TARGET <= HWY_AVX3 || rows <= few_rows ? 4 : 2; }

template <bool partial> HWY_INLINE vector load(tag d, const float* from, int64_t count) {
  if constexpr (!partial) {
    return hn::LoadU(d, from);
  } else if constexpr (HWY_TARGET <= HWY_AVX2) {  // its masked loads touch nothing that is masked
    return hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(count)), d, from);
  } else {
    return troupe::HWY_NAMESPACE::PartialLoad(d, from, count);
  }
}

template <bool partial> HWY_INLINE void store(vector v, tag d, float* to, int64_t count) {
  if constexpr (partial) {
    troupe::HWY_NAMESPACE::PartialStore(v, d, to, count);
  } else {
    hn::StoreU(v, d, to);
  }
}

/// `rows` rows by `vectors` vectors of C from (row, column) on; `partial`: one vector of only
/// `count` columns.
template <int rows, int vectors, bool partial>
HWY_NOINLINE void block(const tile_product_args& p, int64_t row, int64_t column, int64_t count) {
  const tag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const float* a = p.a + row * p.a_row;
  const float* b = p.b + column;
  float* c = p.c + row * p.c_row + column;
  vector sum[rows][vectors];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      sum[r][v] = p.factor == nullptr
                      ? hn::Zero(d)
                      : hn::Mul(load<partial>(d, c + r * p.c_row + v * lanes, count), hn::Set(d, p.factor[row + r]));
    }
  }
  const int64_t a_row = p.a_row, a_step = p.a_step, b_row = p.b_row;
  for (int64_t t = 0; t < p.steps; ++t, a += a_step, b += b_row) {
    vector b_t[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      b_t[v] = load<partial>(d, b + v * lanes, count);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const vector a_rt = hn::Set(d, a[r * a_row]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        sum[r][v] = hn::MulAdd(a_rt, b_t[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      store<partial>(sum[r][v], d, c + r * p.c_row + v * lanes, count);
    }
  }
}

template <int rows> HWY_INLINE void all_columns(const tile_product_args& p, int64_t row) {
  constexpr int wide = vectors_of(rows);
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag()));
  int64_t column = 0;
  for (; column + wide * lanes <= p.columns; column += wide * lanes) {
    block<rows, wide, false>(p, row, column, 0);
  }
  for (; column + lanes <= p.columns; column += lanes) {
    block<rows, 1, false>(p, row, column, 0);
  }
  if (column < p.columns) {
    block<rows, 1, true>(p, row, column, p.columns - column);
  }
}

}  // namespace tile_detail

inline void tile_product(const tile_product_args& p) {
  int64_t row = 0;
  for (; row + product_rows <= p.rows; row += product_rows) {
    tile_detail::all_columns<product_rows>(p, row);
  }
  for (; row + tile_detail::few_rows <= p.rows; row += tile_detail::few_rows) {
    tile_detail::all_columns<tile_detail::few_rows>(p, row);
  }
  for (; row < p.rows; ++row) {
    tile_detail::all_columns<1>(p, row);
  }
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
