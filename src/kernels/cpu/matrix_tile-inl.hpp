/// The innermost loops of the product: a tile of C in registers, and the packing of A and B.

// Included once for each target: not #pragma once.
#if defined(TROUPE_MATRIX_TILE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_MATRIX_TILE_INL
#undef TROUPE_MATRIX_TILE_INL
#else
#define TROUPE_MATRIX_TILE_INL
#endif

#include "kernels/cpu/matrix_plan.hpp"
#include "kernels/cpu/vector_math-inl.hpp"
#include "kernels/matrix.hpp"

#include <hwy/cache_control.h>

#include <array>
#include <cstring>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace math = troupe::HWY_NAMESPACE;

/// One tile: start and C may be the same memory. `Real` is float or bf16.
template <class Real> struct tile_args {
  const float* a = nullptr;  ///< [k, rows]
  const Real* b = nullptr;   ///< [k, 32]
  int64_t k = 0;
  const float* start = nullptr;
  int64_t start_stride = 0;
  float* c = nullptr;
  int64_t c_stride = 0;
  const Real* ahead = nullptr;  ///< memory to bring into the second-level cache meanwhile
  int64_t ahead_step = 0;       ///< values of it for each k
};

// Registers decide the shape: accumulators, one vector of each column group and one broadcast value
// must fit. AVX-512 (32 registers): 12 x 2 vectors. AVX2 (16): 6 x 2 vectors, half a panel at a
// time.
#if HWY_TARGET == HWY_SCALAR
inline constexpr int max_tile_rows = 2;
#elif HWY_MAX_BYTES >= 64
inline constexpr int max_tile_rows = 12;
#else
inline constexpr int max_tile_rows = 6;
#endif

/// How many k ahead A is asked for: it streams from the second or third-level cache, while B stays
/// nearer.
inline constexpr int64_t prefetch_k = 32;

HWY_INLINE void prefetch_second_level(const void* p) {
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
  __builtin_prefetch(p, 0, 2);
#else
  hwy::Prefetch(p);
#endif
}

template <class D> HWY_INLINE hn::Vec<D> load_real(D d, const float* p) { return hn::LoadU(d, p); }
template <class D> HWY_INLINE hn::Vec<D> load_real(D d, const bf16* p) {
  const hn::RebindToUnsigned<D> wide;
  const hn::Rebind<uint16_t, D> narrow;
  const auto bits = hn::LoadU(narrow, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(wide, bits)));
}

/// C[Rows, Vectors * lanes] = start + a b.
template <int Rows, int Vectors, class Real> HWY_INLINE void multiply_columns(const tile_args<Real>& args) {
  const math::float_tag d;
  constexpr int lanes = hn::MaxLanes(d);
  hn::Vec<decltype(d)> sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      sum[r][v] = hn::LoadU(d, args.start + r * args.start_stride + v * lanes);
    }
  }
  const float* HWY_RESTRICT a = args.a;
  const Real* HWY_RESTRICT b = args.b;
  const Real* ahead = args.ahead;
  for (int64_t k = 0; k < args.k; ++k, a += Rows, b += panel_width) {
    hwy::Prefetch(a + prefetch_k * Rows);
    prefetch_second_level(ahead);
    if constexpr (sizeof(Real) == 4) {  // else the 32 values of a panel's row are one line
      prefetch_second_level(ahead + 16);
    }
    ahead += args.ahead_step;
    hn::Vec<decltype(d)> column[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      column[v] = load_real(d, b + v * lanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const auto value = hn::Set(d, a[r]);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        sum[r][v] = hn::MulAdd(value, column[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      hn::StoreU(sum[r][v], d, args.c + r * args.c_stride + v * lanes);
    }
  }
}

/// A tile of Rows x 32, in one go where the registers allow it.
template <int Rows, class Real> void multiply_tile(const tile_args<Real>& args) {
  constexpr int lanes = hn::MaxLanes(math::float_tag());
  constexpr int vectors = lanes == 16 ? 2 : (lanes == 8 && Rows > 2 ? 2 : 4);
  tile_args<Real> part = args;
  for (int64_t column = 0; column < panel_width; column += vectors * lanes) {
    part.b = args.b + column;
    part.start = args.start + column;
    part.c = args.c + column;
    multiply_columns<Rows, vectors>(part);
  }
}

template <class Real> using tile_function = void (*)(const tile_args<Real>&);

template <class Real, size_t... Index>
constexpr std::array<tile_function<Real>, sizeof...(Index)> tile_table(std::index_sequence<Index...>) {
  return {&multiply_tile<static_cast<int>(Index) + 1, Real>...};
}

template <class Real>
inline constexpr auto multiply_tile_of_rows = tile_table<Real>(std::make_index_sequence<max_tile_rows>());

/// Rows that are read a piece at a time lie too far apart for the CPU to guess: they are asked for
/// this many ahead.
inline constexpr int64_t prefetch_rows = 8;

/// to[j * to_stride + i] = from[i * from_stride + j], 4 x 4.
template <class Real>
HWY_INLINE void transpose_4x4(const Real* from, int64_t from_stride, float* to, int64_t to_stride) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t j = 0; j < 4; ++j) {
      to[j * to_stride + i] = to_float(from[i * from_stride + j]);
    }
  }
#else
  const hn::CappedTag<float, 4> d;
  const hn::RepartitionToWide<decltype(d)> wide;
  const auto r0 = load_real(d, from);
  const auto r1 = load_real(d, from + from_stride);
  const auto r2 = load_real(d, from + 2 * from_stride);
  const auto r3 = load_real(d, from + 3 * from_stride);
  const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, r0, r1));
  const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, r2, r3));
  const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, r0, r1));
  const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, r2, r3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, low01, low23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23)), d, to + to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(wide, high01, high23)), d, to + 2 * to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23)), d, to + 3 * to_stride);
#endif
}

/// to[k * rows + r] = from[r * stride + k]. Groups of four rows may overlap: they write the same
/// values.
HWY_INLINE void pack_rows(const float* from, int64_t stride, int64_t rows, int64_t k_size, float* to) {
  constexpr int64_t line = 16;  // a cache line is used up before rows that may share its place in the cache follow
  int64_t k = 0;
  if (rows >= 4) {
    for (; k + line <= k_size; k += line) {
      for (int64_t r = 0; r < rows; r += 4) {
        const int64_t first = std::min(r, rows - 4);
        const float* source = from + first * stride + k;
        float* target = to + k * rows + first;
        for (int64_t i = 0; i < 4; ++i) {
          hwy::Prefetch(source + i * stride + 8 * line);
        }
        for (int64_t j = 0; j < line; j += 4) {
          transpose_4x4(source + j, stride, target + j * rows, rows);
        }
      }
    }
  }
  for (; k < k_size; ++k) {
    for (int64_t r = 0; r < rows; ++r) {
      to[k * rows + r] = from[r * stride + k];
    }
  }
}

/// to[k * rows + r] = from[k * stride + r].
HWY_INLINE void pack_columns(const float* from, int64_t stride, int64_t rows, int64_t k_size, float* to) {
  const hn::CappedTag<float, 4> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t k = 0; k < k_size; ++k) {
    const float* source = from + k * stride;
    float* target = to + k * rows;
    hwy::Prefetch(source + prefetch_rows * stride);
    if (rows < lanes) {
      std::copy(source, source + rows, target);
      continue;
    }
    for (int64_t r = 0; r < rows; r += lanes) {
      const int64_t first = std::min(r, rows - lanes);
      hn::StoreU(hn::LoadU(d, source + first), d, target + first);
    }
  }
}

/// Columns [0, columns) of `from` as a block of a panel, the rest 0.
HWY_INLINE void pack_panel_rows(const float* from, int64_t stride, int64_t columns, int64_t k_size, float* to) {
  const math::float_tag d;
  for (int64_t k = 0; k < k_size; ++k) {
    hwy::Prefetch(from + (k + prefetch_rows) * stride);
    hwy::Prefetch(from + (k + prefetch_rows) * stride + panel_width / 2);
    for (int64_t j = 0; j < panel_width; j += static_cast<int64_t>(hn::Lanes(d))) {
      const auto values = math::PartialLoad(d, from + k * stride + j, columns - j);
      hn::StoreU(values, d, to + k * panel_width + j);
    }
  }
}

/// A block of a panel as it is.
HWY_INLINE void widen_panel(const bf16* from, int64_t k_size, float* to) {
  const math::float_tag d;
  for (int64_t i = 0; i < k_size * panel_width; i += static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreU(load_real(d, from + i), d, to + i);
  }
}

/// The same from panels of the transpose: `from` is W(k = 0, j = 0), a multiple of 32 k later the
/// next panel begins.
template <class Real>
HWY_INLINE void pack_panel_transposed(const Real* from, int64_t panel_stride, int64_t columns, int64_t k_size,
                                      float* to) {
  for (int64_t k = 0; k < k_size; k += 4) {
    const Real* source = from + k / panel_width * panel_stride + k % panel_width;
    float* target = to + k * panel_width;
    // the same eighth of the next panel's rows
    const Real* next = from + (k / panel_width + 1) * panel_stride + k % panel_width * panel_width;
    for (int64_t i = 0; i < 4 * panel_width; i += 16) {
      hwy::Prefetch(next + i);
    }
    int64_t j = 0;
    for (; j + 4 <= columns; j += 4) {
      transpose_4x4(source + j * panel_width, panel_width, target + j, panel_width);
    }
    for (; j < panel_width; ++j) {
      for (int64_t i = 0; i < 4; ++i) {
        target[i * panel_width + j] = j < columns ? to_float(source[j * panel_width + i]) : 0.0F;
      }
    }
  }
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TROUPE_MATRIX_TILE_INL
