/// What stands before the first block and after the last: embeddings, final norm and projections.
#include "engine/models/transformer_parts.hpp"
#include "kernels/embedding.hpp"

#include <algorithm>

namespace troupe::engine {

const int32_t* inference_model::parts::position_rows(const block_call& call) const {
  int32_t* index_N = call.scratch.table_index_N.reserve(call.n);
  for (int64_t row = 0; row < call.n; ++row) {
    index_N[row] = call.position_N[row] + static_cast<int32_t>(description.position_offset);
  }
  return index_N;
}

void inference_model::parts::look_up_tokens(const block_call& call, const int32_t* token_N, float* y_NE) const {
  const table_slot& table = slots.token_table;
  const auto own_rows = [&](std::span<const int32_t> row_M, float* y_ME) {
    kernels::embedding_forward(call.ctx, {.y_ND = y_ME,
                                          .index_N = row_M.data(),
                                          .table = at(call.weights, table.weight),
                                          .n = static_cast<int64_t>(row_M.size()),
                                          .rows = table.rows,
                                          .d = table.width});
  };
  call.results.look_up({token_N, static_cast<size_t>(call.n)}, table.width, y_NE, own_rows);
}

void inference_model::parts::embed(const block_call& call, const int32_t* token_N, float* stream_ND) const {
  if (embeds_further()) {
    float* embedding_NE = call.scratch.embedding_NE.reserve(call.n * slots.token_table.width);
    look_up_tokens(call, token_N, embedding_NE);
    if (slots.project_in) {
      apply_linear(call, slots.project_in, embedding_NE, stream_ND);
    } else {
      apply_norm(call, slots.embedding_norm, stream_ND, embedding_NE);
    }
  } else {
    look_up_tokens(call, token_N, stream_ND);
  }
  if (slots.position_table) {
    kernels::embedding_forward(call.ctx, {.y_ND = stream_ND,
                                          .index_N = position_rows(call),
                                          .table = at(call.weights, slots.position_table.weight),
                                          .n = call.n,
                                          .rows = slots.position_table.rows,
                                          .d = slots.position_table.width,
                                          .accumulate = true});
  }
}

void inference_model::parts::embed_backward(const block_call& call, const int32_t* token_N, const float* dstream_ND,
                                            float* gradients) const {
  if (slots.position_table) {
    kernels::embedding_backward(call.ctx, {.dtable = at(gradients, slots.position_table.weight),
                                           .index_N = position_rows(call),
                                           .dy_ND = dstream_ND,
                                           .n = call.n,
                                           .rows = slots.position_table.rows,
                                           .d = slots.position_table.width});
  }
  const float* dembedding_NE = dstream_ND;
  if (embeds_further()) {
    const int64_t count = call.n * slots.token_table.width;
    float* embedding_NE = call.scratch.embedding_NE.reserve(count);
    float* dlooked_up_NE = call.scratch.dnormed_ND.reserve(count);
    look_up_tokens(call, token_N, embedding_NE);
    if (slots.project_in) {
      linear_backward(call, slots.project_in, embedding_NE, dstream_ND, dlooked_up_NE, gradients);
    } else {
      apply_norm(call, slots.embedding_norm, call.scratch.normed_ND.reserve(count), embedding_NE);
      std::fill_n(dlooked_up_NE, count, 0.0F);
      norm_backward(call, slots.embedding_norm, embedding_NE, dstream_ND, dlooked_up_NE, gradients);
    }
    dembedding_NE = dlooked_up_NE;
  }
  kernels::embedding_backward(call.ctx, {.dtable = at(gradients, slots.token_table.weight),
                                         .index_N = token_N,
                                         .dy_ND = dembedding_NE,
                                         .n = call.n,
                                         .rows = slots.token_table.rows,
                                         .d = slots.token_table.width});
}

void inference_model::parts::finish(const block_call& call, float* stream_ND, float* hidden_NE) const {
  const int64_t count = call.n * description.width;
  float* last_ND = stream_ND;
  if (slots.final_norm) {
    last_ND = slots.project_out ? call.scratch.normed_ND.reserve(count) : hidden_NE;
    apply_norm(call, slots.final_norm, last_ND, stream_ND);
  }
  if (slots.project_out) {
    apply_linear(call, slots.project_out, last_ND, hidden_NE);
  } else if (last_ND != hidden_NE) {
    std::copy_n(last_ND, count, hidden_NE);
  }
}

void inference_model::parts::finish_backward(const block_call& call, float* stream_ND, const float* dhidden_NE,
                                             float* dstream_ND, float* gradients) const {
  const int64_t count = call.n * description.width;
  const float* last_ND = stream_ND;
  if (slots.final_norm) {
    float* normed_ND = call.scratch.normed_ND.reserve(count);
    apply_norm(call, slots.final_norm, normed_ND, stream_ND);
    last_ND = normed_ND;
  }
  const float* dlast_ND = dhidden_NE;
  if (slots.project_out) {
    float* dprojected_ND = call.scratch.dnormed_ND.reserve(count);
    linear_backward(call, slots.project_out, last_ND, dhidden_NE, dprojected_ND, gradients);
    dlast_ND = dprojected_ND;
  }
  if (slots.final_norm) {
    std::fill_n(dstream_ND, count, 0.0F);
    norm_backward(call, slots.final_norm, stream_ND, dlast_ND, dstream_ND, gradients);
  } else {
    std::copy_n(dlast_ND, count, dstream_ND);
  }
}

}  // namespace troupe::engine
