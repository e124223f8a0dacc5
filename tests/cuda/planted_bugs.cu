#include "kernels/cuda/thread.cuh"

#include "cuda/planted_bugs.hpp"

namespace troupe::kernels::cuda {

int bug_line = 0;

namespace {

struct table {
  float at[64];
};

__global__ void no_barrier_kernel(float* y) {
  auto& shared = block_shared<table>();
  shared.at[threadIdx.x] = static_cast<float>(threadIdx.x);
  y[threadIdx.x] = shared.at[63 - threadIdx.x];
}

__global__ void barrier_in_a_branch_kernel(float* y) {
  if (threadIdx.x < 40) {
    bug_line = __LINE__ + 1;
    __syncthreads();
  }
  y[threadIdx.x] = 1;
}

__global__ void two_barriers_kernel(float* y) {
  if (threadIdx.x < 32) {
    bug_line = __LINE__ + 1;
    __syncthreads();
  } else {
    bug_line = __LINE__ + 1;
    __syncthreads();
  }
  y[threadIdx.x] = 1;
}

__global__ void shuffle_in_a_branch_kernel(float* y) {
  float value = 1;
  if (threadIdx.x % 32 < 16) {
    bug_line = __LINE__ + 1;
    value = __shfl_xor_sync(all_lanes, value, 1);
  }
  y[threadIdx.x] = value;
}

__global__ void copy_not_waited_for_kernel(float* y, const float* x) {
  auto& shared = block_shared<table>();
  if (threadIdx.x < 16) {
    copy_async_16(&shared.at[4 * threadIdx.x], x + 4 * threadIdx.x);
    copy_async_commit();
  }
  __syncthreads();
  y[threadIdx.x] = shared.at[threadIdx.x];
}

__global__ void write_past_global_memory_kernel(float* y) { y[threadIdx.x + 1] = 1; }

__global__ void write_past_shared_memory_kernel(float* y) {
  float* at = block_shared<table>().at;
  at[threadIdx.x + 1] = 1;
  __syncthreads();
  y[threadIdx.x] = at[0];
}

}  // namespace

void no_barrier(stream_t stream, float* y) { launch(no_barrier_kernel, dim3(1), dim3(64), stream, y); }

void barrier_in_a_branch(stream_t stream, float* y) {
  launch(barrier_in_a_branch_kernel, dim3(1), dim3(64), stream, y);
}

void two_barriers(stream_t stream, float* y) { launch(two_barriers_kernel, dim3(1), dim3(64), stream, y); }

void shuffle_in_a_branch(stream_t stream, float* y) {
  launch(shuffle_in_a_branch_kernel, dim3(1), dim3(64), stream, y);
}

void copy_not_waited_for(stream_t stream, float* y, const float* x) {
  launch(copy_not_waited_for_kernel, dim3(1), dim3(64), stream, y, x);
}

void write_past_global_memory(stream_t stream, float* y) {
  launch(write_past_global_memory_kernel, dim3(1), dim3(64), stream, y);
}

void write_past_shared_memory(stream_t stream, float* y) {
  launch(write_past_shared_memory_kernel, dim3(1), dim3(64), stream, y);
}

}  // namespace troupe::kernels::cuda
