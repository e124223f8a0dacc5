#include "engine/models/transformer.hpp"

#include "engine/models/block.hpp"
#include "engine/models/position_tables.hpp"
#include "engine/models/saved_activations.hpp"
#include "engine/models/slots.hpp"
#include "engine/models/workspace.hpp"
#include "kernels/base/error.hpp"
#include "kernels/embedding.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::engine {

struct transformer::parts {
  model_description description;
  parameter_layout layout;
  model_slots slots;
  rotary_tables rotary;
  std::vector<float> alibi;

  explicit parts(const model_description& d);

  kernels::attention_shape attention() const;
  block_call call(context& ctx, const float* weights, int64_t n, const int32_t* position_N,
                  workspace& scratch) const;
  block_call packed_call(context& ctx, const float* weights, const token_batch& batch) const;
  block_call paged_call(context& ctx, const float* weights, const paged_batch& batch) const;
  block_buffers scratch_buffers(const block_call& call) const;

  void check_positions(std::span<const int32_t> position_N) const;
  const int32_t* position_rows(const block_call& call) const;

  void look_up_tokens(const block_call& call, const int32_t* token_N, float* y_NE) const;
  void embed(const block_call& call, const int32_t* token_N, float* stream_ND) const;
  void embed_backward(const block_call& call, const int32_t* token_N, const float* dstream_ND,
                      float* gradients) const;
  void finish(const block_call& call, float* stream_ND, float* hidden_NE) const;
  void finish_backward(const block_call& call, float* stream_ND, const float* dhidden_NE,
                       float* dstream_ND, float* gradients) const;
};

transformer::parts::parts(const model_description& d) : description(d) {
  slots = lay_out(description, layout);
  if (d.position == position_kind::rotary) {
    rotary = make_rotary_tables(d.rotary, d.max_positions);
  }
  if (d.position == position_kind::alibi) {
    alibi = alibi_slopes(d.heads);
  }
}

kernels::attention_shape transformer::parts::attention() const {
  const model_description& d = description;
  return {.heads = d.heads,
          .kv_heads = d.kv_heads,
          .head_width = d.head_width,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d.head_width))),
          .alibi_slope_H = alibi.empty() ? nullptr : alibi.data()};
}

block_call transformer::parts::call(context& ctx, const float* weights, int64_t n,
                                    const int32_t* position_N, workspace& scratch) const {
  const bool turns = description.position == position_kind::rotary;
  check_positions({position_N, static_cast<size_t>(n)});
  return {.ctx = ctx,
          .description = description,
          .weights = weights,
          .attention = attention(),
          .cos_PR2 = turns ? rotary.cos_PR2.data() : nullptr,
          .sin_PR2 = turns ? rotary.sin_PR2.data() : nullptr,
          .n = n,
          .position_N = position_N,
          .offset_B1 = {},
          .sequences = {},
          .scratch = scratch};
}

void transformer::parts::check_positions(std::span<const int32_t> position_N) const {
  if (description.position == position_kind::alibi) {
    return;
  }
  const int64_t lowest = -description.position_offset;
  for (const int32_t position : position_N) {
    if (position < lowest || position >= description.max_positions) {
      throw error(errc::bad_argument,
                  "position {} is outside of the model's {} positions (max_position_embeddings): "
                  "shorten the sequence",
                  position, description.max_positions);
    }
  }
}

static void check_offsets(std::span<const int64_t> offset_B1, int64_t n) {
  if (offset_B1.empty() || offset_B1.front() != 0 || offset_B1.back() != n ||
      !std::is_sorted(offset_B1.begin(), offset_B1.end())) {
    throw error(errc::shape_mismatch,
                "the sequence offsets of a batch of {} tokens do not rise from 0 to {}", n, n);
  }
}

static const int32_t* count_positions(const token_batch& batch, workspace& scratch) {
  int32_t* position_N = room(scratch.position_N, batch.tokens());
  for (size_t b = 0; b + 1 < batch.offset_B1.size(); ++b) {
    for (int64_t row = batch.offset_B1[b]; row < batch.offset_B1[b + 1]; ++row) {
      position_N[row] = static_cast<int32_t>(row - batch.offset_B1[b]);
    }
  }
  return position_N;
}

block_call transformer::parts::packed_call(context& ctx, const float* weights,
                                           const token_batch& batch) const {
  check_offsets(batch.offset_B1, batch.tokens());
  if (!batch.position_N.empty() && batch.position_N.size() != batch.token_N.size()) {
    throw error(errc::shape_mismatch, "{} positions were given for {} tokens",
                batch.position_N.size(), batch.tokens());
  }
  workspace& scratch = thread_workspace();
  const int32_t* position_N =
      batch.position_N.empty() ? count_positions(batch, scratch) : batch.position_N.data();
  block_call result = call(ctx, weights, batch.tokens(), position_N, scratch);
  result.offset_B1 = batch.offset_B1;
  return result;
}

block_call transformer::parts::paged_call(context& ctx, const float* weights,
                                          const paged_batch& batch) const {
  if (batch.position_N.size() != batch.token_N.size() ||
      static_cast<int64_t>(batch.pages_L.size()) != description.layers) {
    throw error(errc::shape_mismatch,
                "{} tokens came with {} positions, and caches of {} layers for a model of {}",
                batch.token_N.size(), batch.position_N.size(), batch.pages_L.size(),
                description.layers);
  }
  int64_t rows = 0;
  for (const kernels::paged_sequence& sequence : batch.sequences) {
    rows += sequence.rows;
  }
  if (rows != static_cast<int64_t>(batch.token_N.size())) {
    throw error(errc::shape_mismatch, "{} tokens were given, their sequences have {}",
                batch.token_N.size(), rows);
  }
  block_call result = call(ctx, weights, rows, batch.position_N.data(), thread_workspace());
  result.sequences = batch.sequences;
  return result;
}

block_buffers transformer::parts::scratch_buffers(const block_call& call) const {
  workspace& s = call.scratch;
  const block_slots& first = slots.blocks.front();
  block_buffers b{.input_ND = room(s.stream_ND, call.n * description.width),
                  .qkv_NE = room(s.qkv_NE, call.n * first.qkv.outputs),
                  .attention_NHK = room(s.attention_NHK, call.n * first.out.inputs),
                  .up_NU = room(s.up_NU, call.n * first.up.outputs)};
  b.middle_ND = b.input_ND;
  b.sum_ND = room(s.normed_ND, call.n * description.width);
  return b;
}

const int32_t* transformer::parts::position_rows(const block_call& call) const {
  int32_t* index_N = room(call.scratch.table_index_N, call.n);
  for (int64_t row = 0; row < call.n; ++row) {
    index_N[row] = call.position_N[row] + static_cast<int32_t>(description.position_offset);
  }
  return index_N;
}

void transformer::parts::look_up_tokens(const block_call& call, const int32_t* token_N,
                                        float* y_NE) const {
  kernels::embedding_forward(call.ctx, {.y_ND = y_NE,
                                        .index_N = token_N,
                                        .table = at(call.weights, slots.token_table.weight),
                                        .n = call.n,
                                        .rows = slots.token_table.rows,
                                        .d = slots.token_table.width});
}

void transformer::parts::embed(const block_call& call, const int32_t* token_N,
                               float* stream_ND) const {
  if (slots.project_in || slots.embedding_norm) {
    float* embedding_NE = room(call.scratch.embedding_NE, call.n * slots.token_table.width);
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

void transformer::parts::embed_backward(const block_call& call, const int32_t* token_N,
                                        const float* dstream_ND, float* gradients) const {
  if (slots.position_table) {
    kernels::embedding_backward(call.ctx, {.dtable = at(gradients, slots.position_table.weight),
                                           .index_N = position_rows(call),
                                           .dy_ND = dstream_ND,
                                           .n = call.n,
                                           .rows = slots.position_table.rows,
                                           .d = slots.position_table.width});
  }
  const float* dembedding_NE = dstream_ND;
  if (slots.project_in || slots.embedding_norm) {
    const int64_t count = call.n * slots.token_table.width;
    float* embedding_NE = room(call.scratch.embedding_NE, count);
    float* dlooked_up_NE = room(call.scratch.dnormed_ND, count);
    look_up_tokens(call, token_N, embedding_NE);
    if (slots.project_in) {
      linear_backward(call, slots.project_in, embedding_NE, dstream_ND, dlooked_up_NE, gradients);
    } else {
      apply_norm(call, slots.embedding_norm, room(call.scratch.normed_ND, count), embedding_NE);
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

void transformer::parts::finish(const block_call& call, float* stream_ND, float* hidden_NE) const {
  const int64_t count = call.n * description.width;
  float* last_ND = stream_ND;
  if (slots.final_norm) {
    last_ND = slots.project_out ? room(call.scratch.normed_ND, count) : hidden_NE;
    apply_norm(call, slots.final_norm, last_ND, stream_ND);
  }
  if (slots.project_out) {
    apply_linear(call, slots.project_out, last_ND, hidden_NE);
  } else if (last_ND != hidden_NE) {
    std::copy_n(last_ND, count, hidden_NE);
  }
}

void transformer::parts::finish_backward(const block_call& call, float* stream_ND,
                                         const float* dhidden_NE, float* dstream_ND,
                                         float* gradients) const {
  const int64_t count = call.n * description.width;
  const float* last_ND = stream_ND;
  if (slots.final_norm) {
    float* normed_ND = room(call.scratch.normed_ND, count);
    apply_norm(call, slots.final_norm, normed_ND, stream_ND);
    last_ND = normed_ND;
  }
  const float* dlast_ND = dhidden_NE;
  if (slots.project_out) {
    float* dprojected_ND = room(call.scratch.dnormed_ND, count);
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

transformer::transformer(const model_description& description)
    : parts_(std::make_unique<parts>(description)) {}

transformer::~transformer() = default;
transformer::transformer(transformer&&) noexcept = default;

const model_description& transformer::description() const { return parts_->description; }
const parameter_layout& transformer::layout() const { return parts_->layout; }

const float* transformer::head(const float* arena) const {
  return arena + parts_->slots.head.weight;
}
float* transformer::head(float* arena) const { return arena + parts_->slots.head.weight; }

void transformer::forward(context& ctx, const float* weights, const token_batch& batch,
                          float* hidden_ND) const {
  const block_call call = parts_->packed_call(ctx, weights, batch);
  if (call.n == 0) {
    return;
  }
  const block_buffers buffers = parts_->scratch_buffers(call);
  parts_->embed(call, batch.token_N.data(), buffers.input_ND);
  for (const block_slots& block : parts_->slots.blocks) {
    block_forward(call, block, {}, buffers, buffers.input_ND);
  }
  parts_->finish(call, buffers.input_ND, hidden_ND);
}

void transformer::forward(context& ctx, const float* weights, const token_batch& batch,
                          float* hidden_ND, saved_activations& saved) const {
  const block_call call = parts_->packed_call(ctx, weights, batch);
  saved_activations::storage& kept = *saved.storage_;
  kept.prepare(parts_->description, call.n);
  if (call.n == 0) {
    return;
  }
  parts_->embed(call, batch.token_N.data(), kept.input(0));
  for (int64_t layer = 0; layer < kept.layers; ++layer) {
    block_forward(call, parts_->slots.blocks[static_cast<size_t>(layer)], {}, kept.block(layer),
                  kept.input(layer + 1));
  }
  parts_->finish(call, kept.input(kept.layers), hidden_ND);
}

void transformer::backward(context& ctx, const float* weights, const token_batch& batch,
                           saved_activations& saved, float* dhidden_ND, float* gradients) const {
  const block_call call = parts_->packed_call(ctx, weights, batch);
  saved_activations::storage& kept = *saved.storage_;
  if (kept.n != call.n || kept.layers != parts_->description.layers) {
    throw error(errc::shape_mismatch,
                "backward was given {} tokens and {} layers, the saved forward had {} and {}",
                call.n, parts_->description.layers, kept.n, kept.layers);
  }
  if (call.n == 0) {
    return;
  }
  float* dstream_ND = room(call.scratch.dstream_ND, call.n * kept.width);
  parts_->finish_backward(call, kept.input(kept.layers), dhidden_ND, dstream_ND, gradients);
  for (int64_t layer = kept.layers - 1; layer >= 0; --layer) {
    const block_slots& block = parts_->slots.blocks[static_cast<size_t>(layer)];
    const block_buffers buffers = kept.block(layer);
    if (kept.checkpointing) {
      block_forward(call, block, {}, buffers, nullptr);
    }
    block_backward(call, block, buffers, dstream_ND, gradients);
  }
  parts_->embed_backward(call, batch.token_N.data(), dstream_ND, gradients);
}

void transformer::extend(context& ctx, const float* weights, const paged_batch& batch,
                         float* hidden_ND) const {
  const block_call call = parts_->paged_call(ctx, weights, batch);
  if (call.n == 0) {
    return;
  }
  const block_buffers buffers = parts_->scratch_buffers(call);
  parts_->embed(call, batch.token_N.data(), buffers.input_ND);
  for (size_t layer = 0; layer < parts_->slots.blocks.size(); ++layer) {
    block_forward(call, parts_->slots.blocks[layer], batch.pages_L[layer], buffers,
                  buffers.input_ND);
  }
  parts_->finish(call, buffers.input_ND, hidden_ND);
}

} // namespace troupe::engine
