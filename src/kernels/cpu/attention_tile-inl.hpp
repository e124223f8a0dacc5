/// What attention's forward and backward share: a tile of 64 keys, a block of rows that attend to
/// it, and the scores between them. Both directions compute a score by this code, so that
/// backward's probabilities are forward's.
#if defined(TROUPE_ATTENTION_TILE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_ATTENTION_TILE_INL
#undef TROUPE_ATTENTION_TILE_INL
#else
#define TROUPE_ATTENTION_TILE_INL
#endif

#include "kernels/attention.hpp"
#include "kernels/cpu/tile_product-inl.hpp"
#include "kernels/cpu/vector_math-inl.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace math = troupe::HWY_NAMESPACE;

/// Keys at positions [first, first + 64) of a sequence, transposed, and their values.
struct key_tile {
  const float* keys_K64 = nullptr;
  const float* values = nullptr;
  int64_t value_row = 0;  ///< floats between values
  int64_t first = 0;
};

/// Rows that attend to the same keys: either one head's queries at rising positions, or several
/// heads' queries at one position.
struct row_block {
  const float* query = nullptr;
  int64_t query_row = 0;
  float* out = nullptr;
  int64_t out_row = 0;
  float* lse = nullptr;
  int64_t lse_row = 0;
  int64_t rows = 0;
  int64_t position = 0, position_step = 0;
  const float* slope = nullptr;  ///< null: no ALiBi
  int64_t slope_step = 0;

  int64_t position_of(int64_t row) const { return position + row * position_step; }
};

/// The lanes' numbers: Highway's Iota counts them anew, one by one, at each call.
HWY_ALIGN inline constexpr float lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/// Turns one row's dot products into its scores.
class row_scores {
public:
  row_scores(const row_block& block, int64_t row, float scale, int64_t first_key)
      : scale_(scale), first_(first_key - block.position_of(row)), alibi_(block.slope != nullptr),
        slope_(alibi_ ? block.slope[row * block.slope_step] : 0.0F) {}

  /// Scores of the keys from `column` of the tile on; -inf past the row's own position.
  template <class D> HWY_INLINE hn::Vec<D> at(D d, const float* dots, int64_t column) const {
    const auto distance = hn::Add(hn::Load(d, lane_numbers), hn::Set(d, static_cast<float>(first_ + column)));  // j - i
    auto score = hn::Mul(hn::LoadU(d, dots + column), hn::Set(d, scale_));
    if (alibi_) {
      score = hn::MulAdd(hn::Set(d, slope_), distance, score);
    }
    const auto minus_infinity = hn::Set(d, -std::numeric_limits<float>::infinity());
    return hn::IfThenElse(hn::Le(distance, hn::Zero(d)), score, minus_infinity);
  }

private:
  float scale_;
  int64_t first_;
  bool alibi_;
  float slope_;
};

/// How many of the tile's keys the last of the rows [row, row + rows) sees; 0 or less: none.
inline int64_t keys_seen(const row_block& block, int64_t row, int64_t rows, int64_t first_key) {
  const int64_t last = block.position_of(row + rows - 1);
  return std::min(attention_tile, last - first_key + 1);
}

/// dots[r, 0 .. columns) = q_(row + r) . k_j for rows r < rows. columns: a multiple of 16.
inline void dot_products(const float* query, int64_t query_row, const float* keys_K64, int64_t width, int64_t rows,
                         int64_t columns, float* dots_R64) {
  tile_product({.a = query,
                .a_row = query_row,
                .b = keys_K64,
                .b_row = attention_tile,
                .c = dots_R64,
                .c_row = attention_tile,
                .rows = rows,
                .columns = columns,
                .steps = width});
}

inline int64_t round_up_to_16(int64_t n) { return (n + 15) / 16 * 16; }

/// to_W64[w, j] = from[j, w] for j < rows; columns j past them keep what they hold.
inline void transpose_tile(const float* from, int64_t from_row, int64_t rows, int64_t width, float* to_W64) {
  int64_t quads = 0, quad_width = 0;
#if HWY_TARGET != HWY_SCALAR
  quads = rows / 4 * 4;
  quad_width = width / 4 * 4;
  const hn::FixedTag<float, 4> d;
  for (int64_t w = 0; w < quad_width; w += 4) {
    for (int64_t j = 0; j < quads; j += 4) {
      const float* p = from + j * from_row + w;
      const auto a = hn::LoadU(d, p), b = hn::LoadU(d, p + from_row);
      const auto c = hn::LoadU(d, p + 2 * from_row), e = hn::LoadU(d, p + 3 * from_row);
      const auto ac = hn::InterleaveLower(d, a, c), be = hn::InterleaveLower(d, b, e);
      const auto ac2 = hn::InterleaveUpper(d, a, c), be2 = hn::InterleaveUpper(d, b, e);
      float* q = to_W64 + w * attention_tile + j;
      hn::StoreU(hn::InterleaveLower(d, ac, be), d, q);
      hn::StoreU(hn::InterleaveUpper(d, ac, be), d, q + attention_tile);
      hn::StoreU(hn::InterleaveLower(d, ac2, be2), d, q + 2 * attention_tile);
      hn::StoreU(hn::InterleaveUpper(d, ac2, be2), d, q + 3 * attention_tile);
    }
  }
#endif
  for (int64_t j = 0; j < rows; ++j) {
    for (int64_t w = j < quads ? quad_width : 0; w < width; ++w) {
      to_W64[w * attention_tile + j] = from[j * from_row + w];
    }
  }
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TROUPE_ATTENTION_TILE_INL
