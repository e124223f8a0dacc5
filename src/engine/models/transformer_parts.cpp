#include "engine/models/transformer_parts.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace troupe::engine {

inference_model::parts::parts(const model_description& whole, const model_share& share,
                              std::unique_ptr<result_exchange> others)
    : description(description_of(whole, share)), slots(lay_out(whole, share, layout)), results(std::move(others)) {
  switch (whole.position) {
  case position_kind::learned:
    break;
  case position_kind::rotary:
    rotary = make_rotary_tables(whole.rotary, whole.max_positions);
    break;
  case position_kind::alibi: {
    const std::vector<float> slopes = alibi_slopes(whole.heads);
    alibi.assign(slopes.begin() + share.heads.first, slopes.begin() + share.heads.last);
    break;
  }
  }
}

kernels::attention_shape inference_model::parts::attention() const {
  const model_description& d = description;
  return {.heads = d.heads,
          .kv_heads = d.kv_heads,
          .head_width = d.head_width,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d.head_width))),
          .alibi_slope_H = alibi.empty() ? nullptr : alibi.data()};
}

block_call inference_model::parts::call(context& ctx, const float* weights, int64_t n, const int32_t* position_N,
                                        workspace& scratch) const {
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
          .scratch = scratch,
          .results = *results};
}

void inference_model::parts::check_positions(std::span<const int32_t> position_N) const {
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

void inference_model::parts::check_batch(const token_batch& batch) {
  const std::span<const int64_t> offset_B1 = batch.offset_B1;
  if (offset_B1.empty() || offset_B1.front() != 0 || offset_B1.back() != batch.tokens() ||
      !std::is_sorted(offset_B1.begin(), offset_B1.end())) {
    throw error(errc::shape_mismatch, "the sequence offsets of a batch of {} tokens do not rise from 0 to {}",
                batch.tokens(), batch.tokens());
  }
  if (!batch.position_N.empty() && batch.position_N.size() != batch.token_N.size()) {
    throw error(errc::shape_mismatch, "{} positions were given for {} tokens", batch.position_N.size(), batch.tokens());
  }
}

static const int32_t* count_positions(const token_batch& batch, workspace& scratch) {
  int32_t* position_N = scratch.position_N.reserve(batch.tokens());
  for (size_t b = 0; b + 1 < batch.offset_B1.size(); ++b) {
    for (int64_t row = batch.offset_B1[b]; row < batch.offset_B1[b + 1]; ++row) {
      position_N[row] = static_cast<int32_t>(row - batch.offset_B1[b]);
    }
  }
  return position_N;
}

block_call inference_model::parts::packed_call(context& ctx, const float* weights, const token_batch& batch) const {
  check_batch(batch);
  workspace& scratch = thread_workspace();
  const int32_t* position_N = batch.position_N.empty() ? count_positions(batch, scratch) : batch.position_N.data();
  block_call result = call(ctx, weights, batch.tokens(), position_N, scratch);
  result.offset_B1 = batch.offset_B1;
  return result;
}

block_call inference_model::parts::paged_call(context& ctx, const float* weights, const paged_batch& batch) const {
  if (batch.position_N.size() != batch.token_N.size() ||
      static_cast<int64_t>(batch.pages_L.size()) != description.layers) {
    throw error(errc::shape_mismatch, "{} tokens came with {} positions, and caches of {} layers for a model of {}",
                batch.token_N.size(), batch.position_N.size(), batch.pages_L.size(), description.layers);
  }
  int64_t rows = 0;
  for (const kernels::paged_sequence& sequence : batch.sequences) {
    rows += sequence.rows;
  }
  if (rows != static_cast<int64_t>(batch.token_N.size())) {
    throw error(errc::shape_mismatch, "{} tokens were given, their sequences have {}", batch.token_N.size(), rows);
  }
  block_call result = call(ctx, weights, rows, batch.position_N.data(), thread_workspace());
  result.sequences = batch.sequences;
  return result;
}

block_buffers inference_model::parts::scratch_buffers(const block_call& call) const {
  workspace& s = call.scratch;
  const block_slots& first = slots.blocks.front();
  block_buffers b{.input_ND = s.stream_ND.reserve(call.n * description.width),
                  .qkv_NE = s.qkv_NE.reserve(call.n * first.qkv.outputs),
                  .attention_NHK = s.attention_NHK.reserve(call.n * first.out.inputs),
                  .up_NU = s.up_NU.reserve(call.n * first.up.outputs)};
  b.middle_ND = b.input_ND;
  b.sum_ND = s.normed_ND.reserve(call.n * description.width);
  return b;
}

}  // namespace troupe::engine
