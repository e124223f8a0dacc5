/// Scratch memory of forward and backward passes.
#pragma once

#include "base/aligned.hpp"

#include <cstdint>

namespace troupe::engine {

/// Named buffers that grow to the largest call and stay, so that a decode step allocates nothing.
/// What a buffer holds does not outlive the function that asked for it.
struct workspace {
  aligned_buffer<int32_t> position_N;
  aligned_buffer<int32_t> table_index_N;
  aligned_buffer<float> stream_ND, normed_ND, delta_ND, embedding_NE;
  aligned_buffer<float> qkv_NE, attention_NHK, up_NU, activated_NF;
  aligned_buffer<float> rstd_N, mean_N;
  // backward
  aligned_buffer<float> dstream_ND, dnormed_ND, dattention_NHK, dqkv_NE, dactivated_NF;
};

/// At least `size` values of `buffer`, with any contents.
template <class T> T* room(aligned_buffer<T>& buffer, int64_t size) {
  buffer.reserve(size);
  return buffer.data();
}

/// The calling thread's own: a pass holds it from start to end, and passes on one thread follow
/// each other.
workspace& thread_workspace();

}  // namespace troupe::engine
