/// The words of CUDA that the kernels of src/kernels/cuda use, for a C++ compiler: kernels/cuda/thread.cuh includes it
/// where no nvcc is at work. What is not here (`__shared__`, cooperative groups, masks of part of a warp, wgmma, TMA)
/// no kernel may use.
#pragma once

#include "kernels/cuda/card_work.hpp"
#include "support/emulation/evidence.hpp"
#include "support/emulation/grid.hpp"
#include "support/emulation/matrix_unit.hpp"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

// NOLINTBEGIN: CUDA's own names.
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

#define threadIdx (::troupe::emulation::running->thread)
#define blockIdx (::troupe::emulation::running->block)
#define blockDim (::troupe::emulation::running->block_size)
#define gridDim (::troupe::emulation::running->grid_size)
#define __syncthreads() ::troupe::emulation::barrier({__FILE__, __LINE__})

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// Warp operations. The place is that of the call.
#define TROUPE_HERE                                                                                                    \
  ::troupe::emulation::place { file, line }

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  const T* all = ::troupe::emulation::exchange(mask, value, "shfl_xor", TROUPE_HERE);
  return all[(::troupe::emulation::running->lane ^ lane_mask) & 31];
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return ::troupe::emulation::exchange(mask, value, "shfl", TROUPE_HERE)[lane & 31];
}
/// Of a lane that would be past the warp: the own value.
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
  const T* all = ::troupe::emulation::exchange(mask, value, "shfl_up", TROUPE_HERE);
  const int from = ::troupe::emulation::running->lane - static_cast<int>(by);
  return from >= 0 ? all[from] : value;
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  const T* all = ::troupe::emulation::exchange(mask, value, "shfl_down", TROUPE_HERE);
  const int from = ::troupe::emulation::running->lane + static_cast<int>(by);
  return from < 32 ? all[from] : value;
}
inline unsigned __ballot_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
  const int* all = ::troupe::emulation::exchange(mask, predicate, "ballot", TROUPE_HERE);
  unsigned bits = 0;
  for (int lane = 0; lane < 32; ++lane) {
    bits |= all[lane] != 0 ? 1U << lane : 0U;
  }
  return bits;
}
inline int __any_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) == ::troupe::emulation::whole_warp;
}
inline void __syncwarp(unsigned mask = ::troupe::emulation::whole_warp, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  ::troupe::emulation::exchange(mask, 0, "syncwarp", TROUPE_HERE);
}

template <class T> T atomicAdd(T* at, std::type_identity_t<T> value) { return std::exchange(*at, *at + value); }
template <class T> T atomicMax(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, std::max(*at, value));
}
template <class T> T atomicMin(T* at, std::type_identity_t<T> value) {
  return std::exchange(*at, std::min(*at, value));
}

// Arithmetic that is rounded once, and never joined with what stands around it.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }

inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline int __clz(unsigned bits) { return std::countl_zero(bits); }
inline int __ffs(unsigned bits) { return bits != 0 ? std::countr_zero(bits) + 1 : 0; }
// NOLINTEND

/// What stream_t points to. The emulated card has one for its compute queue.
struct CUstream_st {
  virtual ~CUstream_st() = default;
  /// Does the work, or keeps it to be done.
  virtual void add(std::function<void()> work) = 0;
  troupe::emulation::settings how;
};

namespace troupe::kernels::cuda {

/// A GPU's own approximation has other last bits. As there, a result below the normal range is 0.
inline float exp2_approx(float x) {
  const float value = std::exp2(x);
  return value < FLT_MIN ? 0.0F : value;
}

template <class T> T& block_shared() {
  static const char tag = 0;
  return *static_cast<T*>(emulation::shared_memory(sizeof(T), alignof(T), &tag));
}

template <class T> T& block_dynamic_shared() {
  return *static_cast<T*>(emulation::dynamic_shared_memory(sizeof(T), alignof(T)));
}

inline void copy_async_16(void* to, const void* from, int from_bytes = 16, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
  emulation::copy_async(to, from, 16, static_cast<size_t>(from_bytes), TROUPE_HERE);
}
inline void copy_async_commit() { emulation::commit_copies(); }
template <int GroupsLeft> void copy_async_wait() { emulation::wait_copies(GroupsLeft); }

inline void load_matrices(uint32_t (&to)[4], const void* row, bool transposed = false,
                          const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulation::require_shared(row, 16, "load_matrices", TROUPE_HERE);
  const void* const* row_of = emulation::exchange(emulation::whole_warp, row, "load_matrices", TROUPE_HERE);
  const int lane = emulation::running->lane;
  for (int matrix = 0; matrix < 4; ++matrix) {
    uint32_t pair = 0;
    for (int i = 0; i < 2; ++i) {
      const int major = lane / 4, minor = lane % 4 * 2 + i;
      const int from_row = transposed ? minor : major, from_column = transposed ? major : minor;
      uint16_t element = 0;
      std::memcpy(&element, static_cast<const uint16_t*>(row_of[8 * matrix + from_row]) + from_column, sizeof(element));
      pair |= static_cast<uint32_t>(element) << 16 * i;
    }
    to[matrix] = pair;
  }
}

inline void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                         const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  struct fragments {
    uint32_t a[4], b[2];
  };
  const fragments mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  const fragments* all = emulation::exchange(emulation::whole_warp, mine, "multiply_add", TROUPE_HERE);
  const int group = emulation::running->lane / 4, quarter = emulation::running->lane % 4;
  for (int half = 0; half < 2; ++half) {
    for (int column = 0; column < 2; ++column) {
      uint16_t row_k[16], column_k[16];
      for (int k = 0; k < 16; ++k) {
        const int lane = k % 8 / 2, upper = k / 8, shift = k % 2 * 16;
        row_k[k] = static_cast<uint16_t>(all[4 * group + lane].a[half + 2 * upper] >> shift);
        column_k[k] = static_cast<uint16_t>(all[4 * (2 * quarter + column) + lane].b[upper] >> shift);
      }
      float& element = d[2 * half + column];
      element = emulation::dot_16(row_k, column_k, element);
    }
  }
}

/// Counts it each time that it runs: work that is recorded may do so often, or never.
template <class... Parameters>
void launch_in(const emulation::launch_shape& shape, void (*kernel)(Parameters...), stream_t stream,
               std::type_identity_t<Parameters>... arguments) {
  stream->add([=] {
    emulation::note_launch(reinterpret_cast<const void*>(kernel), stream->how.order);
    emulation::run_grid(shape, stream->how, [&] { kernel(arguments...); });
  });
}

template <class... Parameters>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, stream_t stream,
            std::type_identity_t<Parameters>... arguments) {
  launch_in({grid, block}, kernel, stream, arguments...);
}

template <class Shared, class... Parameters>
void launch_with_shared(void (*kernel)(Parameters...), dim3 grid, dim3 block, stream_t stream,
                        std::type_identity_t<Parameters>... arguments) {
  launch_in({grid, block, sizeof(Shared)}, kernel, stream, arguments...);
}

}  // namespace troupe::kernels::cuda

#undef TROUPE_HERE
