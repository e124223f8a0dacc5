/// One block of the Transformer: attention and feed-forward, each with its norm and residual
/// addition.
///
///   pre-norm   x' = x + attention(norm1(x));  y = x' + feed_forward(norm2(x'))
///   parallel   y = x + attention(norm1(x)) + feed_forward(norm2(x))
///   post-norm  x' = norm1(x + attention(x));  y = norm2(x' + feed_forward(x'))
#pragma once

#include "base/context.hpp"
#include "engine/models/result_exchange.hpp"
#include "engine/models/slots.hpp"
#include "engine/models/workspace.hpp"
#include "kernels/attention.hpp"

namespace troupe::engine {

/// The rows of a call by what they look up, as kernels::embedding_backward_args has it.
struct rows_by_index {
  const int32_t* row_N = nullptr;
  const int32_t* begin_U1 = nullptr;
  int64_t distinct = 0;
};

/// What all blocks of a call share; small arrays and tables lie where `ctx` computes. Description, attention and
/// weights may be one rank's share of a model, while x, y and what `results` completes are the whole model's.
struct block_call {
  context& ctx;
  const model_description& description;
  const_reals weights;
  kernels::attention_shape attention;
  dtype type;            ///< of the activations
  const float* cos_PR2;  ///< null unless positions are rotary
  const float* sin_PR2;
  int64_t n;  ///< rows of the call
  const int32_t* token_N;
  const int32_t* position_N;
  const int32_t* position_row_N;        ///< of the position table; null unless positions are learned
  rows_by_index by_token, by_position;  ///< backward on a card: the rows of the tables' gradients
  std::span<const int64_t> offset_B1;   ///< packed: where sequences begin
  std::span<const int32_t> tile_T2;     ///< packed, on a card: kernels::attention_args
  kernels::page_map where;              ///< paged: of at least one sequence; then pages is this block's cache
  workspace& scratch;
  result_exchange& results;

  /// Room for activations.
  reals room(buffer& in, int64_t count) const { return in.room(ctx, type, count); }
};

/// The buffers of one block's pass. A forward that keeps nothing gives every block the same ones,
/// with middle_ND = input_ND and sum_ND = normed; one that keeps what backward needs gives each
/// block its own.
struct block_buffers {
  reals input_ND = nullptr;  ///< x
  reals qkv_NE = nullptr;    ///< after rotation
  reals attention_NHK = nullptr;
  float* lse_NH = nullptr;    ///< null: not kept
  reals middle_ND = nullptr;  ///< the residual stream between attention and feed-forward; unused where parallel
  reals up_NU = nullptr;      ///< before the activation; U = 2F where gated, else F
  reals sum_ND = nullptr;     ///< post-norm only: the input of the second norm
};

/// Writes y to output_ND, which may be input_ND where middle_ND is. A null output_ND stops as soon
/// as all of `buffers` is written: the recomputation of checkpointing.
void block_forward(const block_call& call, const block_slots& slots, const kernels::kv_pages& pages,
                   const block_buffers& buffers, reals output_ND);

/// dstream_ND holds dL/dy on entry and dL/dx on return. Parameters' gradients are accumulated onto
/// the arena `gradients`. `buffers` are used up.
void block_backward(const block_call& call, const block_slots& slots, const block_buffers& buffers, reals dstream_ND,
                    float* gradients);

// Small pieces that the blocks share with what stands before and after them.

/// Parameter at `offset` of an arena of gradients or weights; null where absent.
inline float* at(float* arena, int64_t offset) { return offset == absent ? nullptr : arena + offset; }
inline const_reals at(const_reals arena, int64_t offset) { return offset == absent ? nullptr : arena + offset; }

/// y = norm(x), or with add_ND: x += add, y = norm(x). Keeps rstd and mean in the scratch for
/// norm_backward.
void apply_norm(const block_call& call, const norm_slot& slot, reals y_ND, reals x_ND, const_reals add_ND = nullptr);
/// dx += the gradient through the norm of x_ND, right after apply_norm of the same x_ND.
void norm_backward(const block_call& call, const norm_slot& slot, const_reals x_ND, const_reals dy_ND, reals dx_ND,
                   float* gradients);

/// activated = act(up), or act(gate) * up.
void activate(const block_call& call, const_reals up_NU, reals activated_NF);

/// Rows as wide as the model; nothing where both are the same.
void copy_stream(const block_call& call, const_reals from_ND, reals to_ND);

/// y = x W^T + b.
void apply_linear(const block_call& call, const linear_slot& slot, const_reals x_NI, reals y_NO);
/// dW += dy^T x, db += sums of dy, and dx = dy W (dx += where accumulate).
void linear_backward(const block_call& call, const linear_slot& slot, const_reals x_NI, const_reals dy_NO, reals dx_NI,
                     float* gradients, bool accumulate = false);

}  // namespace troupe::engine
