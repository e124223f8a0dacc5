/// Rows of bfloat16 in shared memory, laid out for the loads of matrix units.
#pragma once

#include "base/dtype.hpp"
#include "kernels/cuda/thread.cuh"

#include <cstdint>

namespace troupe::kernels::cuda {

/// [Rows, Columns], in pieces of 8 values (16 bytes). Where a piece stands in its row depends on the row: the eight
/// rows of an 8 x 8 matrix, which are read at once, lie in eight different groups of banks.
template <int Rows, int Columns> class shared_rows {
public:
  static_assert(Columns % 8 == 0);
  static constexpr int rows = Rows, pieces = Columns / 8;

  /// The piece that holds `column`, a multiple of 8.
  __device__ bf16* at(int row, int column) {
    return reinterpret_cast<bf16*>(bits_[row][(column / 8) ^ (row / rows_per_turn & (spread - 1))]);
  }

private:
  static constexpr int common = pieces & -pieces;  ///< the largest power of 2 in `pieces`
  static constexpr int spread = common < 8 ? common : 8;
  static constexpr int rows_per_turn = 8 / spread;

  alignas(16) uint16_t bits_[Rows][pieces][8];
};

/// Begins to copy the first Count rows into `to`, by all threads of a block; what is not there is 0. Copies that are
/// asynchronous are there after copy_async_commit and copy_async_wait, all of them after the barrier that follows.
///   row_at(r)  where row r begins; null: there is none
///   columns    how many values a row has, from its beginning on
///   aligned    every row begins at a multiple of 16 bytes
template <int Threads, int Count, int Rows, int Columns, class RowAt>
__device__ inline void fetch_some_rows(shared_rows<Rows, Columns>& to, int64_t columns, bool aligned,
                                       const RowAt& row_at) {
  constexpr int pieces = shared_rows<Rows, Columns>::pieces;
  for (int i = static_cast<int>(threadIdx.x); i < Count * pieces; i += Threads) {
    const int row = i / pieces, column = i % pieces * 8;
    bf16* piece = to.at(row, column);
    const bf16* from = column < columns ? row_at(row) : nullptr;
    if (from != nullptr && aligned) {
      copy_async_16(piece, from + column, columns - column < 8 ? static_cast<int>(columns - column) * 2 : 16);
      continue;
    }
    for (int v = 0; v < 8; ++v) {
      piece[v] = from != nullptr && column + v < columns ? from[column + v] : bf16{};
    }
  }
}

/// All rows.
template <int Threads, int Rows, int Columns, class RowAt>
__device__ inline void fetch_rows(shared_rows<Rows, Columns>& to, int64_t columns, bool aligned, const RowAt& row_at) {
  fetch_some_rows<Threads, Rows>(to, columns, aligned, row_at);
}

/// multiply_add's first operand, 16 x 16: rows [row, row + 16), columns [column, column + 16).
template <int Rows, int Columns>
__device__ inline void load_a(uint32_t (&a)[4], shared_rows<Rows, Columns>& from, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  load_matrices(a, from.at(row + lane % 16, column + lane / 16 * 8));
}

/// The same of the transposed: operand row i is column `column` + i, operand column k is row `row` + k.
template <int Rows, int Columns>
__device__ inline void load_a_transposed(uint32_t (&a)[4], shared_rows<Rows, Columns>& from, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  load_matrices(a, from.at(row + lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8), true);
}

/// Two fragments of multiply_add's second operand, which has 16 rows (k) and 8 columns (n).
struct b_pair {
  uint32_t first[2], second[2];
};

/// n is a row of `from`: [row, row + 8) for the first, [row + 8, row + 16) for the second; k is [column, column + 16).
template <int Rows, int Columns>
__device__ inline b_pair load_b(shared_rows<Rows, Columns>& from, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint32_t b[4];
  load_matrices(b, from.at(row + lane / 16 * 8 + lane % 8, column + lane / 8 % 2 * 8));
  return {{b[0], b[1]}, {b[2], b[3]}};
}

/// k is a row of `from`: [row, row + 16); n is [column, column + 8) and [column + 8, column + 16).
template <int Rows, int Columns>
__device__ inline b_pair load_b_transposed(shared_rows<Rows, Columns>& from, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  uint32_t b[4];
  load_matrices(b, from.at(row + lane % 16, column + lane / 16 * 8), true);
  return {{b[0], b[1]}, {b[2], b[3]}};
}

/// Fragments that multiply_add is to sum onto.
template <int Count> __device__ inline void clear(float (&sums)[Count][4]) {
#pragma unroll
  for (auto& sum : sums) {
#pragma unroll
    for (float& x : sum) {
      x = 0;
    }
  }
}

/// Whether rows that begin `stride` values apart all begin at a multiple of 16 bytes.
inline bool rows_aligned(const void* first, int64_t stride) {
  return reinterpret_cast<uintptr_t>(first) % 16 == 0 && stride % 8 == 0;
}

}  // namespace troupe::kernels::cuda
