/// The log softmax of one row of logits, by one block: the same code for the sampler and for whoever scores, so that a
/// token's log-probability is the same number for both.
#pragma once

#include "kernels/cuda/thread.cuh"
#include "kernels/log_prob.hpp"

#include <cstdint>

namespace troupe::kernels::cuda {

inline constexpr int row_threads = 512;

/// Divides the row by the temperature in place, and finds its statistics. Each thread has the elements that it has here
/// in later loops of this step; others' are there too on return.
__device__ inline softmax_statistics row_statistics(float* logits_V, int64_t vocabulary, float temperature) {
  float top = -__builtin_huge_valf();
  for (int64_t v = threadIdx.x; v < vocabulary; v += row_threads) {
    if (temperature != 1.0F) {
      logits_V[v] = __fdiv_rn(logits_V[v], temperature);
    }
    top = fmaxf(top, logits_V[v]);
  }
  top = block_max(top);
  float sum = 0;
  for (int64_t v = threadIdx.x; v < vocabulary; v += row_threads) {
    sum = __fadd_rn(sum, expf(__fsub_rn(logits_V[v], top)));
  }
  return {top, logf(block_sum(sum))};
}

}  // namespace troupe::kernels::cuda
