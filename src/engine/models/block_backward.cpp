/// The backward half of block.hpp. Norm outputs and activations are recomputed from what the
/// forward kept.
#include "engine/models/block.hpp"
#include "engine/models/head_norm.hpp"
#include "kernels/activation.hpp"
#include "kernels/matrix.hpp"
#include "kernels/norm.hpp"
#include "kernels/rotary.hpp"
#include "kernels/rows.hpp"

namespace troupe::engine {

void norm_backward(const block_call& call, const norm_slot& slot, const_reals x_ND, const_reals dy_ND, reals dx_ND,
                   float* gradients) {
  const model_description& d = call.description;
  const kernels::norm_backward_args args{.dx_ND = dx_ND,
                                         .dgamma_D = at(gradients, slot.gamma),
                                         .dbeta_D = at(gradients, slot.beta),
                                         .dy_ND = dy_ND,
                                         .x_ND = x_ND,
                                         .gamma_D = at(call.weights, slot.gamma),
                                         .rstd_N = call.scratch.rstd_N.data().as<float>(),
                                         .mean_N = call.scratch.mean_N.data().as<float>(),
                                         .n = call.n,
                                         .d = d.width};
  switch (d.norm) {
  case norm_kind::rms:
    kernels::rms_norm_backward(call.ctx, args);
    break;
  case norm_kind::layer:
    kernels::layer_norm_backward(call.ctx, args);
    break;
  }
}

void linear_backward(const block_call& call, const linear_slot& slot, const_reals x_NI, const_reals dy_NO, reals dx_NI,
                     float* gradients, bool accumulate) {
  kernels::linear_backward_weight(call.ctx, {.dweight = at(gradients, slot.weight),
                                             .dbias_O = at(gradients, slot.bias),
                                             .x_NI = x_NI,
                                             .dy_NO = dy_NO,
                                             .n = call.n,
                                             .outputs = slot.outputs,
                                             .inputs = slot.inputs});
  kernels::linear_backward_input(call.ctx, {.dx_NI = dx_NI,
                                            .dy_NO = dy_NO,
                                            .weight = at(call.weights, slot.weight),
                                            .n = call.n,
                                            .outputs = slot.outputs,
                                            .inputs = slot.inputs,
                                            .accumulate = accumulate});
}

namespace {

/// Turns the gradient of the activation's output into that of its input, which takes the place of a
/// buffer that is no longer needed: up_NU itself where gated, else dactivated_NF.
reals activation_backward(const block_call& call, reals up_NU, reals dactivated_NF) {
  const model_description& d = call.description;
  if (d.gated) {
    kernels::gated_activation_backward(call.ctx, {.dgate_up_N2F = up_NU,
                                                  .dy_NF = dactivated_NF,
                                                  .gate_up_N2F = up_NU,
                                                  .n = call.n,
                                                  .f = d.feed_forward,
                                                  .kind = d.activation});
    return up_NU;
  }
  kernels::activation_backward(call.ctx, {.dx_NF = dactivated_NF,
                                          .dy_NF = dactivated_NF,
                                          .x_NF = up_NU,
                                          .n = call.n,
                                          .f = d.feed_forward,
                                          .kind = d.activation});
  return dactivated_NF;
}

/// From dout, the gradient of the feed-forward's output, to that of its input in_ND.
void feed_forward_backward(const block_call& call, const block_slots& slots, const block_buffers& b, const_reals in_ND,
                           const_reals dout_ND, reals din_ND, float* gradients, bool accumulate) {
  const int64_t count = call.n * call.description.feed_forward;
  reals activated_NF = call.room(call.scratch.activated_NF, count);
  reals dactivated_NF = call.room(call.scratch.dactivated_NF, count);
  activate(call, b.up_NU, activated_NF);
  linear_backward(call, slots.down, activated_NF, dout_ND, dactivated_NF, gradients);
  const_reals dup_NU = activation_backward(call, b.up_NU, dactivated_NF);
  linear_backward(call, slots.up, in_ND, dup_NU, din_ND, gradients, accumulate);
}

/// From the gradient of the output projection's result to that of its input.
reals out_backward(const block_call& call, const block_slots& slots, const block_buffers& b, const_reals dout_ND,
                   float* gradients) {
  reals dattention_NHK = call.room(call.scratch.dattention_NHK, call.n * slots.out.inputs);
  linear_backward(call, slots.out, b.attention_NHK, dout_ND, dattention_NHK, gradients);
  return dattention_NHK;
}

/// From the gradient of the heads' outputs to that of the attention's input in_ND.
void heads_backward(const block_call& call, const block_slots& slots, const block_buffers& b, const_reals in_ND,
                    const_reals dattention_NHK, reals din_ND, float* gradients, bool accumulate) {
  const kernels::attention_shape& shape = call.attention;
  reals dqkv_NE = call.room(call.scratch.dqkv_NE, call.n * shape.row_width());
  kernels::attention_backward(call.ctx, {.shape = shape,
                                         .dqkv_NE = dqkv_NE,
                                         .dout_NHK = dattention_NHK,
                                         .out_NHK = b.attention_NHK,
                                         .lse_NH = b.lse_NH,
                                         .qkv_NE = b.qkv_NE,
                                         .offset_B1 = call.offset_B1,
                                         .tile_T2 = call.tile_T2});
  if (call.cos_PR2 != nullptr) {
    kernels::rotary_backward(call.ctx, {.x_NE = dqkv_NE,
                                        .row_stride = shape.row_width(),
                                        .n = call.n,
                                        .heads = shape.heads + shape.kv_heads,
                                        .head_width = shape.head_width,
                                        .rotated = call.description.rotary.rotated,
                                        .position_N = call.position_N,
                                        .cos_PR2 = call.cos_PR2,
                                        .sin_PR2 = call.sin_PR2});
  }
  norm_heads_backward(call, slots, in_ND, dqkv_NE, gradients);
  linear_backward(call, slots.qkv, in_ND, dqkv_NE, din_ND, gradients, accumulate);
}

/// dstream holds the gradient of both residual branches' sum: feed-forward and attention each add
/// theirs to it. In a parallel block both start from the same gradient, so the attention's is taken
/// before the other adds to it.
void pre_norm_backward(const block_call& call, const block_slots& slots, const block_buffers& b, reals dstream_ND,
                       float* gradients) {
  const int64_t count = call.n * call.description.width;
  const bool parallel = call.description.parallel_residual;
  reals normed_ND = call.room(call.scratch.normed_ND, count);
  reals dnormed_ND = call.room(call.scratch.dnormed_ND, count);
  reals dattention_NHK = parallel ? out_backward(call, slots, b, dstream_ND, gradients) : nullptr;

  reals middle_ND = parallel ? b.input_ND : b.middle_ND;
  apply_norm(call, slots.feed_forward_norm, normed_ND, middle_ND);
  feed_forward_backward(call, slots, b, normed_ND, dstream_ND, dnormed_ND, gradients, false);
  norm_backward(call, slots.feed_forward_norm, middle_ND, dnormed_ND, dstream_ND, gradients);

  if (!parallel) {
    dattention_NHK = out_backward(call, slots, b, dstream_ND, gradients);
  }
  apply_norm(call, slots.attention_norm, normed_ND, b.input_ND);
  heads_backward(call, slots, b, normed_ND, dattention_NHK, dnormed_ND, gradients, false);
  norm_backward(call, slots.attention_norm, b.input_ND, dnormed_ND, dstream_ND, gradients);
}

void post_norm_backward(const block_call& call, const block_slots& slots, const block_buffers& b, reals dstream_ND,
                        float* gradients) {
  const int64_t count = call.n * call.description.width;
  reals normed_ND = call.room(call.scratch.normed_ND, count);
  reals dsum_ND = call.room(call.scratch.dnormed_ND, count);

  apply_norm(call, slots.feed_forward_norm, normed_ND, b.sum_ND);
  kernels::zero(call.ctx, dsum_ND, count);
  norm_backward(call, slots.feed_forward_norm, b.sum_ND, dstream_ND, dsum_ND, gradients);

  apply_norm(call, slots.attention_norm, normed_ND, b.middle_ND);
  feed_forward_backward(call, slots, b, normed_ND, dsum_ND, dsum_ND, gradients, true);
  kernels::zero(call.ctx, dstream_ND, count);
  norm_backward(call, slots.attention_norm, b.middle_ND, dsum_ND, dstream_ND, gradients);

  const_reals dattention_NHK = out_backward(call, slots, b, dstream_ND, gradients);
  heads_backward(call, slots, b, b.input_ND, dattention_NHK, dstream_ND, gradients, true);
}

}  // namespace

void block_backward(const block_call& call, const block_slots& slots, const block_buffers& buffers, reals dstream_ND,
                    float* gradients) {
  if (call.description.norm_first) {
    pre_norm_backward(call, slots, buffers, dstream_ND, gradients);
  } else {
    post_norm_backward(call, slots, buffers, dstream_ND, gradients);
  }
}

}  // namespace troupe::engine
