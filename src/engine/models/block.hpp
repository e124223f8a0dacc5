/// One block of the Transformer: attention and feed-forward, each with its norm and residual
/// addition.
///
///   pre-norm   x' = x + attention(norm1(x));  y = x' + feed_forward(norm2(x'))
///   parallel   y = x + attention(norm1(x)) + feed_forward(norm2(x))
///   post-norm  x' = norm1(x + attention(x));  y = norm2(x' + feed_forward(x'))
#pragma once

#include "base/context.hpp"
#include "engine/models/slots.hpp"
#include "engine/models/transformer.hpp"
#include "engine/models/workspace.hpp"
#include "kernels/attention.hpp"

namespace troupe::engine {

/// What all blocks of a call share. On a column group, description, attention and weights are this rank's, while x, y and
/// what the gathers make whole are as on one rank.
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
  const column_group* columns = nullptr;  ///< who computes the other columns; null: nobody
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

/// y_NO := what `compute(float*)` writes; on a column group (not null), what it writes on each rank, side by side: `parts_R1`
/// says whose columns begin where.
template <class Body>
void in_columns(const column_group* group, std::vector<int64_t> column_split::*parts_R1, workspace& scratch, int64_t n,
                float* y_NO, const Body& compute) {
  if (group == nullptr) {
    compute(y_NO);
    return;
  }
  const std::vector<int64_t>& offset_R1 = group->split.*parts_R1;
  float* parts = n == 1 ? y_NO : room(scratch.parts_NO, n * offset_R1.back());
  compute(parts + n * offset_R1[static_cast<size_t>(group->split.rank)]);
  gather_columns(*group->ranks, offset_R1, n, parts, y_NO);
}

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
