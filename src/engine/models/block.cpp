#include "engine/models/block.hpp"

#include "engine/models/head_norm.hpp"
#include "kernels/activation.hpp"
#include "kernels/matrix.hpp"
#include "kernels/norm.hpp"
#include "kernels/rotary.hpp"
#include "kernels/rows.hpp"

namespace troupe::engine {

void apply_norm(const block_call& call, const norm_slot& slot, reals y_ND, reals x_ND, const_reals add_ND) {
  const model_description& d = call.description;
  const kernels::norm_args args{.y_ND = y_ND,
                                .rstd_N = call.scratch.rstd_N.floats(call.ctx, call.n),
                                .mean_N = call.scratch.mean_N.floats(call.ctx, call.n),
                                .x_ND = x_ND,
                                .add_ND = add_ND,
                                .gamma_D = at(call.weights, slot.gamma),
                                .beta_D = at(call.weights, slot.beta),
                                .n = call.n,
                                .d = d.width,
                                .epsilon = d.norm_epsilon};
  switch (d.norm) {
  case norm_kind::rms:
    kernels::rms_norm_forward(call.ctx, args);
    break;
  case norm_kind::layer:
    kernels::layer_norm_forward(call.ctx, args);
    break;
  }
}

void apply_linear(const block_call& call, const linear_slot& slot, const_reals x_NI, reals y_NO) {
  kernels::linear_forward(call.ctx, {.y_NO = y_NO,
                                     .x_NI = x_NI,
                                     .weight = at(call.weights, slot.weight),
                                     .bias_O = at(call.weights, slot.bias),
                                     .n = call.n,
                                     .outputs = slot.outputs,
                                     .inputs = slot.inputs});
}

namespace {

void rotate_queries_and_keys(const block_call& call, reals qkv_NE) {
  const kernels::attention_shape& shape = call.attention;
  kernels::rotary_forward(call.ctx, {.x_NE = qkv_NE,
                                     .row_stride = shape.row_width(),
                                     .n = call.n,
                                     .heads = shape.heads + shape.kv_heads,
                                     .head_width = shape.head_width,
                                     .rotated = call.description.rotary.rotated,
                                     .position_N = call.position_N,
                                     .cos_PR2 = call.cos_PR2,
                                     .sin_PR2 = call.sin_PR2});
}

/// What each position finds among those before it, from b.qkv_NE to b.attention_NHK.
void attend_by_heads(const block_call& call, const kernels::kv_pages& pages, const block_buffers& b) {
  const reals own_heads = call.results.own_columns(call.ctx, divided_result::attention, call.n, b.attention_NHK);
  if (call.where.sequences == 0) {
    kernels::attention_forward(call.ctx, {.shape = call.attention,
                                          .out_NHK = own_heads,
                                          .lse_NH = b.lse_NH,
                                          .qkv_NE = b.qkv_NE,
                                          .offset_B1 = call.offset_B1,
                                          .tile_T2 = call.tile_T2});
  } else {
    kernels::paged_attention_forward(
        call.ctx,
        {.shape = call.attention, .out_NHK = own_heads, .qkv_NE = b.qkv_NE, .pages = pages, .where = call.where});
  }
  call.results.complete(call.ctx, divided_result::attention, call.n, b.attention_NHK);
}

/// delta = x W^T + b: what is added to the residual stream.
void apply_linear_to_stream(const block_call& call, const linear_slot& slot, const_reals x_NI, reals delta_ND) {
  apply_linear(call, slot, x_NI, call.results.own_columns(call.ctx, divided_result::stream, call.n, delta_ND));
  call.results.complete(call.ctx, divided_result::stream, call.n, delta_ND);
}

/// out = attention(in), up to the residual addition.
void attend(const block_call& call, const block_slots& slots, const kernels::kv_pages& pages, const block_buffers& b,
            const_reals in_ND, reals out_ND) {
  apply_linear(call, slots.qkv, in_ND, b.qkv_NE);  // [N, D] -> [N, (H + 2G) K]
  norm_heads(call, slots, b.qkv_NE);
  if (call.cos_PR2 != nullptr) {
    rotate_queries_and_keys(call, b.qkv_NE);
  }
  attend_by_heads(call, pages, b);
  apply_linear_to_stream(call, slots.out, b.attention_NHK, out_ND);  // [N, H K] -> [N, D]
}

/// out = activation(up) W_down^T + b.
void apply_down(const block_call& call, const block_slots& slots, const block_buffers& b, reals out_ND) {
  reals activated_NF = call.room(call.scratch.activated_NF, call.n * slots.down.inputs);
  activate(call, b.up_NU, call.results.own_columns(call.ctx, divided_result::activated, call.n, activated_NF));
  call.results.complete(call.ctx, divided_result::activated, call.n, activated_NF);
  apply_linear_to_stream(call, slots.down, activated_NF, out_ND);  // [N, F] -> [N, D]
}

void add_rows(const block_call& call, reals y_ND, const_reals x_ND) {
  kernels::add_in_place(call.ctx, y_ND, x_ND, call.n * call.description.width);
}

void pre_norm_forward(const block_call& call, const block_slots& slots, const kernels::kv_pages& pages,
                      const block_buffers& b, reals output_ND) {
  reals normed_ND = call.room(call.scratch.normed_ND, call.n * call.description.width);
  reals delta_ND = call.room(call.scratch.delta_ND, call.n * call.description.width);
  apply_norm(call, slots.attention_norm, normed_ND, b.input_ND);
  attend(call, slots, pages, b, normed_ND, delta_ND);
  copy_stream(call, b.input_ND, b.middle_ND);
  apply_norm(call, slots.feed_forward_norm, normed_ND, b.middle_ND, delta_ND);
  apply_linear(call, slots.up, normed_ND, b.up_NU);  // [N, D] -> [N, U]
  if (output_ND != nullptr) {
    apply_down(call, slots, b, delta_ND);
    copy_stream(call, b.middle_ND, output_ND);
    add_rows(call, output_ND, delta_ND);
  }
}

void parallel_forward(const block_call& call, const block_slots& slots, const kernels::kv_pages& pages,
                      const block_buffers& b, reals output_ND) {
  reals normed_ND = call.room(call.scratch.normed_ND, call.n * call.description.width);
  reals delta_ND = call.room(call.scratch.delta_ND, call.n * call.description.width);
  apply_norm(call, slots.attention_norm, normed_ND, b.input_ND);
  attend(call, slots, pages, b, normed_ND, delta_ND);
  apply_norm(call, slots.feed_forward_norm, normed_ND, b.input_ND);
  apply_linear(call, slots.up, normed_ND, b.up_NU);
  if (output_ND != nullptr) {
    reals second_delta_ND = normed_ND;
    apply_down(call, slots, b, second_delta_ND);
    add_rows(call, delta_ND, second_delta_ND);
    copy_stream(call, b.input_ND, output_ND);
    add_rows(call, output_ND, delta_ND);
  }
}

void post_norm_forward(const block_call& call, const block_slots& slots, const kernels::kv_pages& pages,
                       const block_buffers& b, reals output_ND) {
  reals normed_ND = call.room(call.scratch.normed_ND, call.n * call.description.width);
  reals delta_ND = call.room(call.scratch.delta_ND, call.n * call.description.width);
  attend(call, slots, pages, b, b.input_ND, delta_ND);
  copy_stream(call, b.input_ND, b.middle_ND);
  apply_norm(call, slots.attention_norm, normed_ND, b.middle_ND, delta_ND);
  apply_linear(call, slots.up, normed_ND, b.up_NU);
  apply_down(call, slots, b, delta_ND);
  copy_stream(call, normed_ND, b.sum_ND);
  add_rows(call, b.sum_ND, delta_ND);
  if (output_ND != nullptr) {
    apply_norm(call, slots.feed_forward_norm, output_ND, b.sum_ND);
  }
}

}  // namespace

void copy_stream(const block_call& call, const_reals from_ND, reals to_ND) {
  if (from_ND.data() != to_ND.data()) {
    kernels::copy_rows(call.ctx, {.to = to_ND, .from = from_ND, .n = call.n, .width = call.description.width});
  }
}

void activate(const block_call& call, const_reals up_NU, reals activated_NF) {
  const model_description& d = call.description;
  if (d.gated) {
    kernels::gated_activation_forward(
        call.ctx, {.y_NF = activated_NF, .gate_up_N2F = up_NU, .n = call.n, .f = d.feed_forward, .kind = d.activation});
  } else {
    kernels::activation_forward(
        call.ctx, {.y_NF = activated_NF, .x_NF = up_NU, .n = call.n, .f = d.feed_forward, .kind = d.activation});
  }
}

void block_forward(const block_call& call, const block_slots& slots, const kernels::kv_pages& pages,
                   const block_buffers& buffers, reals output_ND) {
  if (!call.description.norm_first) {
    post_norm_forward(call, slots, pages, buffers, output_ND);
  } else if (call.description.parallel_residual) {
    parallel_forward(call, slots, pages, buffers, output_ND);
  } else {
    pre_norm_forward(call, slots, pages, buffers, output_ND);
  }
}

}  // namespace troupe::engine
