/// What a model holds, and the steps of its passes outside of the blocks.
#pragma once

#include "engine/models/block.hpp"
#include "engine/models/call_rows.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/models/position_tables.hpp"
#include "engine/models/slots.hpp"
#include "engine/models/workspace.hpp"

namespace troupe::engine {

struct inference_model::parts {
  model_description description;
  parameter_layout layout;
  model_slots slots;
  position_constants_ptr constants;
  std::unique_ptr<result_exchange> results;

  parts(const model_description& whole, const model_share& share, std::unique_ptr<result_exchange> others);

  kernels::attention_shape attention(const constant_tables& tables) const;
  /// Without its rows.
  block_call call(context& ctx, const_reals weights, int64_t n, workspace& scratch) const;
  block_call call(context& ctx, const_reals weights, int64_t n, const call_rows& rows) const;
  block_call packed_call(context& ctx, const_reals weights, const token_batch& batch,
                         call_kind kind = call_kind::forward) const;
  block_call paged_call(context& ctx, const_reals weights, const paged_batch& batch) const;
  block_call placed_call(context& ctx, const_reals weights, const placed_batch& batch, workspace& scratch) const;
  block_buffers scratch_buffers(const block_call& call) const;

  /// Offsets that rise from 0 to N; positions for all tokens or none.
  /// Errors  shape_mismatch.
  static void check_batch(const token_batch& batch);
  int64_t last_segment() const { return description.layers + 1; }
  /// Whether embed_backward reads weights.
  bool embeds_further() const { return slots.project_in || slots.embedding_norm; }
  void check(std::span<const int32_t> token_N, std::span<const int32_t> position_N) const;
  int64_t table_offset() const;  ///< from a position to its row of the position table; -1: there is none

  void look_up_tokens(const block_call& call, reals y_NE) const;
  /// forward of one group of sequences.
  void forward_group(context& ctx, const weights_view& weights, const token_batch& group, reals hidden_NE) const;
  /// A paged call, of at least one row.
  void extend(const block_call& call, std::span<const kernels::kv_pages> pages_L, reals hidden_ND) const;
  void embed(const block_call& call, reals stream_ND) const;
  void embed_backward(const block_call& call, const_reals dstream_ND, float* gradients) const;
  void finish(const block_call& call, reals stream_ND, reals hidden_NE) const;
  void finish_backward(const block_call& call, reals stream_ND, const_reals dhidden_NE, reals dstream_ND,
                       float* gradients) const;
};

}  // namespace troupe::engine
