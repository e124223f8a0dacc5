/// What stands before the first block and after the last: embeddings, final norm and projections.
#include "engine/models/transformer_parts.hpp"
#include "kernels/embedding.hpp"
#include "kernels/rows.hpp"

namespace troupe::engine {

void inference_model::parts::look_up_tokens(const block_call& call, reals y_NE) const {
  const table_slot& table = slots.token_table;
  const auto own_rows = [&](std::span<const int32_t> row_M, reals y_ME) {
    kernels::embedding_forward(call.ctx, {.y_ND = y_ME,
                                          .index_N = row_M.data(),
                                          .table = at(call.weights, table.weight),
                                          .n = static_cast<int64_t>(row_M.size()),
                                          .rows = table.rows,
                                          .d = table.width});
  };
  call.results.look_up(call.ctx, {call.token_N, static_cast<size_t>(call.n)}, table.width, y_NE, own_rows);
}

void inference_model::parts::embed(const block_call& call, reals stream_ND) const {
  if (embeds_further()) {
    reals embedding_NE = call.room(call.scratch.embedding_NE, call.n * slots.token_table.width);
    look_up_tokens(call, embedding_NE);
    if (slots.project_in) {
      apply_linear(call, slots.project_in, embedding_NE, stream_ND);
    } else {
      apply_norm(call, slots.embedding_norm, stream_ND, embedding_NE);
    }
  } else {
    look_up_tokens(call, stream_ND);
  }
  if (slots.position_table) {
    kernels::embedding_forward(call.ctx, {.y_ND = stream_ND,
                                          .index_N = call.position_row_N,
                                          .table = at(call.weights, slots.position_table.weight),
                                          .n = call.n,
                                          .rows = slots.position_table.rows,
                                          .d = slots.position_table.width,
                                          .accumulate = true});
  }
}

void inference_model::parts::embed_backward(const block_call& call, const_reals dstream_ND, float* gradients) const {
  if (slots.position_table) {
    kernels::embedding_backward(call.ctx, {.dtable = at(gradients, slots.position_table.weight),
                                           .index_N = call.position_row_N,
                                           .dy_ND = dstream_ND,
                                           .n = call.n,
                                           .rows = slots.position_table.rows,
                                           .d = slots.position_table.width,
                                           .row_N = call.by_position.row_N,
                                           .begin_U1 = call.by_position.begin_U1,
                                           .distinct = call.by_position.distinct});
  }
  const_reals dembedding_NE = dstream_ND;
  if (embeds_further()) {
    const int64_t count = call.n * slots.token_table.width;
    reals embedding_NE = call.room(call.scratch.embedding_NE, count);
    reals dlooked_up_NE = call.room(call.scratch.dnormed_ND, count);
    look_up_tokens(call, embedding_NE);
    if (slots.project_in) {
      linear_backward(call, slots.project_in, embedding_NE, dstream_ND, dlooked_up_NE, gradients);
    } else {
      apply_norm(call, slots.embedding_norm, call.room(call.scratch.normed_ND, count), embedding_NE);
      kernels::zero(call.ctx, dlooked_up_NE, count);
      norm_backward(call, slots.embedding_norm, embedding_NE, dstream_ND, dlooked_up_NE, gradients);
    }
    dembedding_NE = dlooked_up_NE;
  }
  kernels::embedding_backward(call.ctx, {.dtable = at(gradients, slots.token_table.weight),
                                         .index_N = call.token_N,
                                         .dy_ND = dembedding_NE,
                                         .n = call.n,
                                         .rows = slots.token_table.rows,
                                         .d = slots.token_table.width,
                                         .row_N = call.by_token.row_N,
                                         .begin_U1 = call.by_token.begin_U1,
                                         .distinct = call.by_token.distinct});
}

void inference_model::parts::finish(const block_call& call, reals stream_ND, reals hidden_NE) const {
  const int64_t count = call.n * description.width;
  reals last_ND = stream_ND;
  if (slots.final_norm) {
    last_ND = slots.project_out ? call.room(call.scratch.normed_ND, count) : hidden_NE;
    apply_norm(call, slots.final_norm, last_ND, stream_ND);
  }
  if (slots.project_out) {
    apply_linear(call, slots.project_out, last_ND, hidden_NE);
  } else {
    copy_stream(call, last_ND, hidden_NE);
  }
}

void inference_model::parts::finish_backward(const block_call& call, reals stream_ND, const_reals dhidden_NE,
                                             reals dstream_ND, float* gradients) const {
  const int64_t count = call.n * description.width;
  const_reals last_ND = stream_ND;
  if (slots.final_norm) {
    reals normed_ND = call.room(call.scratch.normed_ND, count);
    apply_norm(call, slots.final_norm, normed_ND, stream_ND);
    last_ND = normed_ND;
  }
  const_reals dlast_ND = dhidden_NE;
  if (slots.project_out) {
    reals dprojected_ND = call.room(call.scratch.dnormed_ND, count);
    linear_backward(call, slots.project_out, last_ND, dhidden_NE, dprojected_ND, gradients);
    dlast_ND = dprojected_ND;
  }
  if (slots.final_norm) {
    kernels::zero(call.ctx, dstream_ND, count);
    norm_backward(call, slots.final_norm, stream_ND, dlast_ND, dstream_ND, gradients);
  } else {
    copy_stream(call, dlast_ND, dstream_ND);
  }
}

}  // namespace troupe::engine
