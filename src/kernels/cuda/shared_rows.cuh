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

/// How many of the 8 values from `column` on are in a row of `columns`.
__device__ inline int values_of_piece(int64_t columns, int column) {
  return columns <= column ? 0 : columns - column < 8 ? static_cast<int>(columns - column) : 8;
}

/// Copies the first `values` of a piece, from any address; the others are 0.
__device__ inline void copy_piece(bf16* piece, const bf16* from, int values) {
  for (int v = 0; v < 8; ++v) {
    piece[v] = v < values ? from[v] : bf16{};
  }
}

/// Rows in memory, one `stride` values behind the other.
struct row_source {
  const bf16* first = nullptr;
  int64_t stride = 0;
  int64_t rows = 0, columns = 0;  ///< that are there
  bool aligned = false;           ///< every row begins at a multiple of 16 bytes
};

/// Begins to copy all rows into `to`, by all threads of a block; what is not there is 0. All of it is there after
/// copy_async_commit, copy_async_wait and a barrier. A thread has one column of pieces, so that little changes from
/// copy to copy: pieces that are whole and aligned are copied asynchronously.
template <int Threads, int Rows, int Columns>
__device__ inline void fetch_rows(shared_rows<Rows, Columns>& to, const row_source& from) {
  constexpr int pieces = shared_rows<Rows, Columns>::pieces;
  constexpr int apart = Threads / pieces;  // of a thread's rows
  constexpr int turns = (Rows + apart - 1) / apart;
  const int first_row = static_cast<int>(threadIdx.x) / pieces, column = static_cast<int>(threadIdx.x) % pieces * 8;
  if (Threads % pieces != 0 && first_row == apart) {
    return;  // too few threads for another row
  }
  const int values = values_of_piece(from.columns, column);
  const int rows = values == 0 ? 0 : from.rows < Rows ? static_cast<int>(from.rows) : Rows;
  const bf16* next = from.first + first_row * from.stride + column;
  if (from.aligned && values % 8 == 0) {
#pragma unroll 8
    for (int i = 0; i < turns; ++i, next += apart * from.stride) {
      const int row = first_row + i * apart;
      if (Rows % apart == 0 || row < Rows) {
        copy_async_16(to.at(row, column), next, row >= rows);
      }
    }
  } else {
#pragma unroll 1
    for (int row = first_row; row < Rows; row += apart, next += apart * from.stride) {
      copy_piece(to.at(row, column), next, row < rows ? values : 0);
    }
  }
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

/// Which of Count pieces of memory comes after `stage`, where they go round.
template <int Count> __device__ inline int next_stage(int stage) { return stage + 1 < Count ? stage + 1 : 0; }

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
