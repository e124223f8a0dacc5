/// Scratch memory of forward and backward passes.
#pragma once

#include "base/context.hpp"
#include "engine/models/description.hpp"
#include "engine/models/position_tables.hpp"
#include "engine/tensor/buffer.hpp"
#include "engine/tensor/call_sheet.hpp"

#include <cstdint>
#include <vector>

namespace troupe::engine {

/// Named buffers that grow to the largest call and stay, so that a decode step allocates nothing.
/// What a buffer holds does not outlive the function that asked for it.
struct workspace {
  std::vector<int32_t> position_N;  ///< of a call that counts them
  call_sheet sheet;
  constants_on_card constants;
  buffer stream_ND, normed_ND, delta_ND, embedding_NE;
  buffer qkv_NE, attention_NHK, up_NU, activated_NF;
  buffer rstd_N, mean_N;
  buffer heads_MK, head_rstd_M, raw_qkv_NE, dheads_MK, dnormed_heads_MK;  // of models that norm heads
  // head and loss, between forward and backward
  call_sheet head_sheet;
  buffer score_N, logprob_N, entropy_N, terms_N;
  // backward
  buffer dstream_ND, dnormed_ND, dattention_NHK, dqkv_NE, dactivated_NF;
};

/// Floats of a workspace for a row of a pass; those of a norm's statistics and of positions are left aside.
struct workspace_row {
  int64_t every_pass = 0;
  int64_t keeping_nothing = 0;  ///< a forward without saved_activations, which hold this else
  int64_t backward = 0;
};
workspace_row workspace_row_of(const model_description& description);

/// Activations are float32 on the host, and of the weights' type on a card.
inline dtype activation_type(const context& ctx, const_reals weights) {
  return ctx.on == nullptr ? dtype::f32 : weights.type();
}

/// The calling thread's own, or the card's: a pass holds it from start to end, and passes on one thread (on one card)
/// follow each other.
workspace& workspace_of(context& ctx);

}  // namespace troupe::engine
