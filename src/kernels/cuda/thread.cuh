/// What kernels use of a GPU: CUDA's own words where it has them, and a function where it is an instruction. Without
/// nvcc the same words run on the host (tests/support/emulation).
///
/// Rules   Shared memory only as block_shared<T>() or block_dynamic_shared<T>(). Blocks are whole warps, and all 32
///         lanes take part in a warp operation. No block waits for another. No atomics on reals.
///         What must have the same bits elsewhere is written in operations that are rounded once (__fmaf_rn, ...):
///         the compiler joins nothing (-fmad=false).
///         nvcc cannot parse fmt: no .cu file may reach base/error.hpp (tests/lint/include_graph.py).
#pragma once

#include "kernels/cuda/card_work.hpp"

#include <cstdint>
#include <type_traits>

#ifndef __CUDACC__
#include "support/emulation/cuda_on_host.hpp"
#else

#include <cuda_runtime.h>

namespace troupe::kernels::cuda {

/// Called after each launch.
/// Errors  device_failure: the kernel could not be started, by name.
void check_launch(const void* kernel);

/// 2^x, to about 2 units in the last place; results below the normal range are 0.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// One T of the block, the same for all its threads and wherever it is asked for. All block_shared of a kernel
/// together: at most 48 KiB.
template <class T> __device__ __forceinline__ T& block_shared() {
  __shared__ T one;
  return one;
}

/// One T, of any size that the card has; the kernel is started by launch_with_shared<T>.
template <class T> __device__ __forceinline__ T& block_dynamic_shared() {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  return *reinterpret_cast<T*>(dynamic_shared);
}

__device__ __forceinline__ unsigned shared_address(const void* at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

/// Begins to copy 16 bytes into shared memory, or zeros, without a look at `from`. Both addresses are multiples of 16.
__device__ __forceinline__ void copy_async_16(void* to, const void* from, bool zeros = false) {
  asm volatile("{ .reg .pred zeros; setp.ne.u32 zeros, %2, 0; cp.async.cg.shared.global [%0], [%1], 16, zeros; }" ::"r"(
                   shared_address(to)),
               "l"(from), "r"(static_cast<unsigned>(zeros))
               : "memory");
}
/// The copies that this thread has begun since the last call become a group.
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until of this thread's groups only the last GroupsLeft are not there. Other threads' need a barrier.
template <int GroupsLeft> __device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(GroupsLeft) : "memory");
}

/// Four 8 x 8 matrices of 16-bit elements from shared memory (ldmatrix): lane i names row i % 8 of matrix i / 8, 16
/// bytes at a multiple of 16. Lane i receives elements 2 (i % 4) and 2 (i % 4) + 1 of row i / 4 of each; of the
/// transposed matrix if so asked.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const void* row, bool transposed = false) {
  if (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
  }
}

/// d += a b of 16 x 8 over k = 16, bfloat16 to float32, in the fragments of mma.sync.m16n8k16: lane i holds
///   a   rows i / 4 (a[0], a[2]) and i / 4 + 8 (a[1], a[3]), k 2 (i % 4) + {0, 1}; a[2], a[3] are 8 further in k
///   b   column i / 4, k 2 (i % 4) + {0, 1} and, in b[1], 8 further
///   d   rows i / 4 (d[0], d[1]) and i / 4 + 8 (d[2], d[3]), columns 2 (i % 4) + {0, 1}
__device__ __forceinline__ void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Starts a kernel with exactly the parameters that it has.
/// Errors  device_failure.
template <class... Parameters>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, stream_t stream,
            std::type_identity_t<Parameters>... arguments) {
  kernel<<<grid, block, 0, stream>>>(arguments...);
  check_launch(reinterpret_cast<const void*>(kernel));
}

/// As launch, of a kernel that uses block_dynamic_shared<Shared>().
template <class Shared, class... Parameters>
void launch_with_shared(void (*kernel)(Parameters...), dim3 grid, dim3 block, stream_t stream,
                        std::type_identity_t<Parameters>... arguments) {
  static_assert(sizeof(Shared) <= most_shared_bytes);
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(sizeof(Shared)));
  kernel<<<grid, block, sizeof(Shared), stream>>>(arguments...);
  check_launch(reinterpret_cast<const void*>(kernel));
}

}  // namespace troupe::kernels::cuda

#endif

namespace troupe::kernels::cuda {

inline constexpr unsigned all_lanes = 0xFFFFFFFFU;

/// The sum over the lanes of a warp, for each of them: the tree 16, 8, 4, 2, 1.
__device__ inline float warp_sum(float value) {
  for (int lane_mask = 16; lane_mask > 0; lane_mask /= 2) {
    value = __fadd_rn(value, __shfl_xor_sync(all_lanes, value, lane_mask));
  }
  return value;
}

__device__ inline float warp_max(float value) {
  for (int lane_mask = 16; lane_mask > 0; lane_mask /= 2) {
    value = fmaxf(value, __shfl_xor_sync(all_lanes, value, lane_mask));
  }
  return value;
}

/// Shared memory of block_join.
struct warp_results {
  float of_warp[32];
};

/// What the threads of a one-dimensional block come to, for each of them: `of_warp` is its warp's, and the warps are
/// joined in rising order.
template <class Join> __device__ inline float block_join(float of_warp, const Join& join) {
  auto& results = block_shared<warp_results>();
  if (threadIdx.x % 32 == 0) {
    results.of_warp[threadIdx.x / 32] = of_warp;
  }
  __syncthreads();
  float all = results.of_warp[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) {
    all = join(all, results.of_warp[warp]);
  }
  __syncthreads();  // the next join may overwrite the results
  return all;
}

__device__ inline float block_sum(float value) {
  return block_join(warp_sum(value), [](float a, float b) { return __fadd_rn(a, b); });
}

__device__ inline float block_max(float value) {
  return block_join(warp_max(value), [](float a, float b) { return fmaxf(a, b); });
}

}  // namespace troupe::kernels::cuda
