/// Scratch memory of forward and backward passes.
#pragma once

#include "base/aligned.hpp"
#include "engine/models/description.hpp"

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

/// Floats of a workspace for a row of a pass; those of a norm's statistics and of positions are left aside.
struct workspace_row {
  int64_t every_pass = 0;
  int64_t keeping_nothing = 0;  ///< a forward without saved_activations, which hold this else
  int64_t backward = 0;
};
workspace_row workspace_row_of(const model_description& description);

/// The calling thread's own: a pass holds it from start to end, and passes on one thread follow
/// each other.
workspace& thread_workspace();

}  // namespace troupe::engine
