#include "engine/models/head_norm.hpp"

#include "kernels/norm.hpp"
#include "kernels/rows.hpp"

#include <array>

namespace troupe::engine {

namespace {

/// The query or the key heads of all rows, and their norm.
struct head_group {
  norm_slot slot;
  int64_t first = 0;  ///< head of a row
  int64_t count = 0;  ///< heads of a row
};

std::array<head_group, 2> groups_of(const block_call& call, const block_slots& slots) {
  const kernels::attention_shape& shape = call.attention;
  return {head_group{slots.query_norm, 0, shape.heads}, head_group{slots.key_norm, shape.heads, shape.kv_heads}};
}

/// From the rows of qkv to the group's heads alone, side by side.
void gather(const block_call& call, const head_group& group, const_reals rows_NE, reals heads_MK) {
  kernels::copy_rows(call.ctx, {.to = heads_MK,
                                .from = rows_NE + group.first * call.attention.head_width,
                                .n = call.n,
                                .width = group.count * call.attention.head_width,
                                .from_stride = call.attention.row_width()});
}

/// And back.
void scatter(const block_call& call, const head_group& group, const_reals heads_MK, reals rows_NE) {
  kernels::copy_rows(call.ctx, {.to = rows_NE + group.first * call.attention.head_width,
                                .from = heads_MK,
                                .n = call.n,
                                .width = group.count * call.attention.head_width,
                                .to_stride = call.attention.row_width()});
}

kernels::norm_args norm_of(const block_call& call, const head_group& group, reals x_MK, reals y_MK) {
  const int64_t heads = call.n * group.count;
  return {.y_ND = y_MK,
          .rstd_N = call.scratch.head_rstd_M.floats(call.ctx, heads),
          .x_ND = x_MK,
          .gamma_D = at(call.weights, group.slot.gamma),
          .n = heads,
          .d = call.attention.head_width,
          .epsilon = call.description.norm_epsilon};
}

void group_backward(const block_call& call, const head_group& group, const_reals raw_NE, reals dqkv_NE,
                    float* gradients) {
  const int64_t floats = call.n * group.count * call.attention.head_width;
  reals x_MK = call.room(call.scratch.heads_MK, floats);
  reals dx_MK = call.room(call.scratch.dheads_MK, floats);
  reals dy_MK = call.room(call.scratch.dnormed_heads_MK, floats);
  gather(call, group, raw_NE, x_MK);
  gather(call, group, dqkv_NE, dy_MK);
  const kernels::norm_args forward = norm_of(call, group, x_MK, dx_MK);
  kernels::rms_norm_forward(call.ctx, forward);  // for its rstd
  kernels::zero(call.ctx, dx_MK, floats);
  kernels::rms_norm_backward(call.ctx, {.dx_ND = dx_MK,
                                        .dgamma_D = at(gradients, group.slot.gamma),
                                        .dy_ND = dy_MK,
                                        .x_ND = x_MK,
                                        .gamma_D = forward.gamma_D,
                                        .rstd_N = forward.rstd_N,
                                        .n = forward.n,
                                        .d = forward.d});
  scatter(call, group, dx_MK, dqkv_NE);
}

}  // namespace

void norm_heads(const block_call& call, const block_slots& slots, reals qkv_NE) {
  if (!slots.query_norm) {
    return;
  }
  for (const head_group& group : groups_of(call, slots)) {
    reals heads_MK = call.room(call.scratch.heads_MK, call.n * group.count * call.attention.head_width);
    gather(call, group, qkv_NE, heads_MK);
    kernels::rms_norm_forward(call.ctx, norm_of(call, group, heads_MK, heads_MK));
    scatter(call, group, heads_MK, qkv_NE);
  }
}

void norm_heads_backward(const block_call& call, const block_slots& slots, const_reals in_ND, reals dqkv_NE,
                         float* gradients) {
  if (!slots.query_norm) {
    return;
  }
  reals raw_NE = call.room(call.scratch.raw_qkv_NE, call.n * call.attention.row_width());
  apply_linear(call, slots.qkv, in_ND, raw_NE);
  for (const head_group& group : groups_of(call, slots)) {
    group_backward(call, group, raw_NE, dqkv_NE, gradients);
  }
}

}  // namespace troupe::engine
