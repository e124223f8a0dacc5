/// What a model holds, and the steps of its passes outside of the blocks.
#pragma once

#include "engine/models/block.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/models/position_tables.hpp"
#include "engine/models/slots.hpp"
#include "engine/models/workspace.hpp"

namespace troupe::engine {

struct inference_model::parts {
  model_description description;
  parameter_layout layout;
  model_slots slots;
  rotary_tables rotary;
  std::vector<float> alibi;
  std::unique_ptr<result_exchange> results;

  parts(const model_description& whole, const model_share& share, std::unique_ptr<result_exchange> others);

  kernels::attention_shape attention() const;
  block_call call(context& ctx, const float* weights, int64_t n, const int32_t* position_N, workspace& scratch) const;
  block_call packed_call(context& ctx, const float* weights, const token_batch& batch) const;
  block_call paged_call(context& ctx, const float* weights, const paged_batch& batch) const;
  block_buffers scratch_buffers(const block_call& call) const;

  /// Offsets that rise from 0 to N; positions for all tokens or none.
  /// Errors  shape_mismatch.
  static void check_batch(const token_batch& batch);
  int64_t last_segment() const { return description.layers + 1; }
  /// Whether embed_backward reads weights.
  bool embeds_further() const { return slots.project_in || slots.embedding_norm; }
  void check_positions(std::span<const int32_t> position_N) const;
  const int32_t* position_rows(const block_call& call) const;

  void look_up_tokens(const block_call& call, const int32_t* token_N, float* y_NE) const;
  /// forward of one group of sequences.
  void forward_group(context& ctx, const weights_view& weights, const token_batch& group, float* hidden_NE) const;
  void embed(const block_call& call, const int32_t* token_N, float* stream_ND) const;
  void embed_backward(const block_call& call, const int32_t* token_N, const float* dstream_ND, float* gradients) const;
  void finish(const block_call& call, float* stream_ND, float* hidden_NE) const;
  void finish_backward(const block_call& call, float* stream_ND, const float* dhidden_NE, float* dstream_ND,
                       float* gradients) const;
};

}  // namespace troupe::engine
