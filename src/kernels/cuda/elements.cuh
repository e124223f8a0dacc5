/// Kernels that do one thing to each element, of either type of reals.
#pragma once

#include "base/reals.hpp"
#include "kernels/cuda/thread.cuh"

#include <cstdint>

namespace troupe::kernels::cuda {

inline constexpr int64_t threads_by_element = 256;

/// Where a kernel reads little and computes little, a thread has so many elements and reads all before it writes one:
/// a single one of two bytes for each thread is too few reads under way to keep a card's memory busy.
inline constexpr int64_t elements_in_flight = 4;

/// Blocks of threads_by_element threads that have `each` elements. At least one element.
inline dim3 blocks_by_element(int64_t count, int64_t each = 1) {
  const int64_t of_block = threads_by_element * each;
  return {static_cast<unsigned>((count + of_block - 1) / of_block)};
}

/// Blocks for the elements of rows: x counts rows, y the pieces of a row. At least one row and one column.
inline dim3 blocks_by_row(int64_t rows, int64_t width, int64_t each = 1) {
  return {static_cast<unsigned>(rows), blocks_by_element(width, each).x};
}

inline dim3 element_block() { return {static_cast<unsigned>(threads_by_element)}; }

/// The element of the calling thread, in a grid of blocks_by_element. It may lie past the last.
__device__ inline int64_t element_index() {
  return static_cast<int64_t>(blockIdx.x) * threads_by_element + static_cast<int64_t>(threadIdx.x);
}

/// Row and column of the calling thread, in a grid of blocks_by_row. The column may lie past the width.
__device__ inline int64_t row_index() { return static_cast<int64_t>(blockIdx.x); }
__device__ inline int64_t column_index() {
  return static_cast<int64_t>(blockIdx.y) * threads_by_element + static_cast<int64_t>(threadIdx.x);
}

/// Calls read(i) for `first` and the Count - 1 elements behind it, each `apart` from the one before, as far as they are
/// below `end`; then write(i, what was read) for them.
template <int Count, class Read, class Write>
__device__ inline void read_then_write(int64_t first, int64_t apart, int64_t end, const Read& read,
                                       const Write& write) {
  using values_read = decltype(read(int64_t{0}));
  values_read values[Count];
#pragma unroll
  for (int k = 0; k < Count; ++k) {
    const int64_t i = first + k * apart;
    values[k] = i < end ? read(i) : values_read();
  }
#pragma unroll
  for (int k = 0; k < Count; ++k) {
    const int64_t i = first + k * apart;
    if (i < end) {
      write(i, values[k]);
    }
  }
}

/// The same for the thread's elements_in_flight elements. `piece`: which of the blocks along the elements this is.
template <class Read, class Write>
__device__ inline void in_flight(unsigned piece, int64_t end, const Read& read, const Write& write) {
  const int64_t first = static_cast<int64_t>(piece) * threads_by_element * elements_in_flight + threadIdx.x;
  read_then_write<elements_in_flight>(first, threads_by_element, end, read, write);
}

/// Rounds to the type of an element.
template <class T> TROUPE_HD inline T rounded(float value);
template <> TROUPE_HD inline float rounded<float>(float value) { return value; }
template <> TROUPE_HD inline bf16 rounded<bf16>(float value) { return to_bf16(value); }

/// Calls body(T()) with the type of elements.
template <class Body> void with_element(dtype type, const Body& body) {
  type == dtype::bf16 ? body(bf16()) : body(0.0F);
}

}  // namespace troupe::kernels::cuda
