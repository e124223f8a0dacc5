#include "engine/models/head_norm.hpp"

#include "kernels/norm.hpp"

#include <algorithm>
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

/// Calls copy(a row's heads, where they stand among the heads alone, floats).
template <class Copy>
void for_each_row(const block_call& call, const head_group& group, float* rows_NE, float* heads_MK, const Copy& copy) {
  const int64_t width = call.attention.head_width;
  const int64_t floats = group.count * width;
  constexpr int64_t rows_per_task = 64;
  call.ctx.pool.parallel_for((call.n + rows_per_task - 1) / rows_per_task, [&](int64_t task) {
    const int64_t end = std::min(call.n, (task + 1) * rows_per_task);
    for (int64_t row = task * rows_per_task; row < end; ++row) {
      copy(rows_NE + row * call.attention.row_width() + group.first * width, heads_MK + row * floats, floats);
    }
  });
}

void gather(const block_call& call, const head_group& group, float* rows_NE, float* heads_MK) {
  for_each_row(call, group, rows_NE, heads_MK,
               [](const float* row, float* heads, int64_t floats) { std::copy_n(row, floats, heads); });
}

void scatter(const block_call& call, const head_group& group, float* heads_MK, float* rows_NE) {
  for_each_row(call, group, rows_NE, heads_MK,
               [](float* row, const float* heads, int64_t floats) { std::copy_n(heads, floats, row); });
}

kernels::norm_args norm_of(const block_call& call, const head_group& group, float* x_MK, float* y_MK) {
  const int64_t heads = call.n * group.count;
  return {.y_ND = y_MK,
          .rstd_N = call.scratch.head_rstd_M.reserve(heads),
          .x_ND = x_MK,
          .gamma_D = at(call.weights, group.slot.gamma),
          .n = heads,
          .d = call.attention.head_width,
          .epsilon = call.description.norm_epsilon};
}

void group_backward(const block_call& call, const head_group& group, float* raw_NE, float* dqkv_NE, float* gradients) {
  const int64_t floats = call.n * group.count * call.attention.head_width;
  float* x_MK = call.scratch.heads_MK.reserve(floats);
  float* dx_MK = call.scratch.dheads_MK.reserve(floats);
  float* dy_MK = call.scratch.dnormed_heads_MK.reserve(floats);
  gather(call, group, raw_NE, x_MK);
  gather(call, group, dqkv_NE, dy_MK);
  const kernels::norm_args forward = norm_of(call, group, x_MK, dx_MK);
  kernels::rms_norm_forward(call.ctx, forward);  // for its rstd
  std::fill_n(dx_MK, floats, 0.0F);
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

void norm_heads(const block_call& call, const block_slots& slots, float* qkv_NE) {
  if (!slots.query_norm) {
    return;
  }
  for (const head_group& group : groups_of(call, slots)) {
    float* heads_MK = call.scratch.heads_MK.reserve(call.n * group.count * call.attention.head_width);
    gather(call, group, qkv_NE, heads_MK);
    kernels::rms_norm_forward(call.ctx, norm_of(call, group, heads_MK, heads_MK));
    scatter(call, group, heads_MK, qkv_NE);
  }
}

void norm_heads_backward(const block_call& call, const block_slots& slots, const float* in_ND, float* dqkv_NE,
                         float* gradients) {
  if (!slots.query_norm) {
    return;
  }
  float* raw_NE = call.scratch.raw_qkv_NE.reserve(call.n * call.attention.row_width());
  apply_linear(call, slots.qkv, in_ND, raw_NE);
  for (const head_group& group : groups_of(call, slots)) {
    group_backward(call, group, raw_NE, dqkv_NE, gradients);
  }
}

}  // namespace troupe::engine
