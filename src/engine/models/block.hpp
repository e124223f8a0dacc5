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

/// What all blocks of a call share. Description, attention and weights may be one rank's share of a model, while x, y
/// and what `results` completes are the whole model's.
struct block_call {
  context& ctx;
  const model_description& description;
  const float* weights;
  kernels::attention_shape attention;
  const float* cos_PR2;  ///< null unless positions are rotary
  const float* sin_PR2;
  int64_t n;  ///< rows of the call
  const int32_t* position_N;
  std::span<const int64_t> offset_B1;                  ///< packed: where sequences begin
  std::span<const kernels::paged_sequence> sequences;  ///< paged: not empty; then pages is this block's cache
  workspace& scratch;
  result_exchange& results;
};

/// The buffers of one block's pass. A forward that keeps nothing gives every block the same ones,
/// with middle_ND = input_ND and sum_ND = normed; one that keeps what backward needs gives each
/// block its own.
struct block_buffers {
  float* input_ND = nullptr;  ///< x
  float* qkv_NE = nullptr;    ///< after rotation
  float* attention_NHK = nullptr;
  float* lse_NH = nullptr;     ///< null: not kept
  float* middle_ND = nullptr;  ///< the residual stream between attention and feed-forward; unused where parallel
  float* up_NU = nullptr;      ///< before the activation; U = 2F where gated, else F
  float* sum_ND = nullptr;     ///< post-norm only: the input of the second norm
};

/// Writes y to output_ND, which may be input_ND where middle_ND is. A null output_ND stops as soon
/// as all of `buffers` is written: the recomputation of checkpointing.
void block_forward(const block_call& call, const block_slots& slots, const kernels::kv_pages& pages,
                   const block_buffers& buffers, float* output_ND);

/// dstream_ND holds dL/dy on entry and dL/dx on return. Parameters' gradients are accumulated onto
/// the arena `gradients`. `buffers` are used up.
void block_backward(const block_call& call, const block_slots& slots, const block_buffers& buffers, float* dstream_ND,
                    float* gradients);

// Small pieces that the blocks share with what stands before and after them.

/// Parameter at `offset` of an arena; null where absent.
template <class T> T* at(T* arena, int64_t offset) { return offset == absent ? nullptr : arena + offset; }

/// y = norm(x), or with add_ND: x += add, y = norm(x). Keeps rstd and mean in the scratch for
/// norm_backward.
void apply_norm(const block_call& call, const norm_slot& slot, float* y_ND, float* x_ND, const float* add_ND = nullptr);
/// dx += the gradient through the norm of x_ND, right after apply_norm of the same x_ND.
void norm_backward(const block_call& call, const norm_slot& slot, const float* x_ND, const float* dy_ND, float* dx_ND,
                   float* gradients);

/// activated = act(up), or act(gate) * up.
void activate(const block_call& call, const float* up_NU, float* activated_NF);

/// y = x W^T + b.
void apply_linear(const block_call& call, const linear_slot& slot, const float* x_NI, float* y_NO);
/// dW += dy^T x, db += sums of dy, and dx = dy W (dx += where accumulate).
void linear_backward(const block_call& call, const linear_slot& slot, const float* x_NI, const float* dy_NO,
                     float* dx_NI, float* gradients, bool accumulate = false);

}  // namespace troupe::engine
