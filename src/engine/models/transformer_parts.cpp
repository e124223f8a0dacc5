#include "engine/models/transformer_parts.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace troupe::engine {

inference_model::parts::parts(const model_description& whole, const model_share& share,
                              std::unique_ptr<result_exchange> others)
    : description(description_of(whole, share)), slots(lay_out(whole, share, layout)), results(std::move(others)) {
  position_constants own;
  switch (whole.position) {
  case position_kind::learned:
    break;
  case position_kind::rotary:
    own.rotary = make_rotary_tables(whole.rotary, whole.max_positions);
    break;
  case position_kind::alibi: {
    const std::vector<float> slopes = alibi_slopes(whole.heads);
    own.alibi_slope_H.assign(slopes.begin() + share.heads.first, slopes.begin() + share.heads.last);
    break;
  }
  }
  constants = std::make_shared<const position_constants>(std::move(own));
}

kernels::attention_shape inference_model::parts::attention(const constant_tables& tables) const {
  const model_description& d = description;
  return {.heads = d.heads,
          .kv_heads = d.kv_heads,
          .head_width = d.head_width,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d.head_width))),
          .alibi_slope_H = tables.alibi_slope_H};
}

block_call inference_model::parts::call(context& ctx, const_reals weights, int64_t n, workspace& scratch) const {
  const constant_tables tables =
      ctx.on == nullptr ? constants->on_host() : workspace_of(ctx).constants.of(ctx, constants);
  return {.ctx = ctx,
          .description = description,
          .weights = weights,
          .attention = attention(tables),
          .type = activation_type(ctx, weights),
          .cos_PR2 = tables.cos_PR2,
          .sin_PR2 = tables.sin_PR2,
          .n = n,
          .token_N = nullptr,
          .position_N = nullptr,
          .position_row_N = nullptr,
          .by_token = {},
          .by_position = {},
          .offset_B1 = {},
          .tile_T2 = {},
          .where = {},
          .scratch = scratch,
          .results = *results};
}

block_call inference_model::parts::call(context& ctx, const_reals weights, int64_t n, const call_rows& rows) const {
  block_call result = call(ctx, weights, n, workspace_of(ctx));
  result.token_N = rows.token_N();
  result.position_N = rows.position_N();
  result.position_row_N = rows.position_row_N();
  result.by_token = rows.by_token();
  result.by_position = rows.by_position();
  return result;
}

block_call inference_model::parts::placed_call(context& ctx, const_reals weights, const placed_batch& batch,
                                               workspace& scratch) const {
  block_call result = call(ctx, weights, batch.rows, scratch);
  result.token_N = batch.token_N;
  result.position_N = batch.position_N;
  result.position_row_N = batch.position_row_N;
  result.where = batch.where;
  return result;
}

/// What kernels do not check where arrays are on a card.
static void check_tokens(std::span<const int32_t> token_N, int64_t vocabulary) {
  for (size_t n = 0; n < token_N.size(); ++n) {
    if (token_N[n] < 0 || token_N[n] >= vocabulary) {
      throw error(errc::bad_argument, "token {} of the batch is {}, outside of the model's vocabulary of {}", n,
                  token_N[n], vocabulary);
    }
  }
}

void inference_model::parts::check(std::span<const int32_t> token_N, std::span<const int32_t> position_N) const {
  check_tokens(token_N, description.vocabulary);
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

/// Sequence b has the rows [row_B1[b], row_B1[b + 1]) and counts from first_B[b]; from 0 where that is null.
static std::span<const int32_t> count_positions(int64_t sequences, const int64_t* row_B1, const int32_t* first_B,
                                                workspace& scratch) {
  std::vector<int32_t>& position_N = scratch.position_N;
  position_N.resize(static_cast<size_t>(sequences == 0 ? 0 : row_B1[sequences]));
  for (int64_t b = 0; b < sequences; ++b) {
    const int32_t first = first_B == nullptr ? 0 : first_B[b];
    std::iota(position_N.begin() + row_B1[b], position_N.begin() + row_B1[b + 1], first);
  }
  return position_N;
}

int64_t inference_model::parts::table_offset() const { return slots.position_table ? description.position_offset : -1; }

block_call inference_model::parts::packed_call(context& ctx, const_reals weights, const token_batch& batch,
                                               call_kind kind) const {
  check_batch(batch);
  workspace& scratch = workspace_of(ctx);
  const std::span<const int32_t> position_N =
      batch.position_N.empty() ? count_positions(batch.sequences(), batch.offset_B1.data(), nullptr, scratch)
                               : batch.position_N;
  check(batch.token_N, position_N);
  call_sheet& sheet = scratch.sheet;
  sheet.begin();
  const call_rows rows(sheet, batch.token_N, position_N, table_offset(),
                       ctx.on != nullptr && kind == call_kind::backward);
  const std::vector<int32_t> tile_T2 = ctx.on != nullptr ? query_tiles(batch.offset_B1) : std::vector<int32_t>();
  const size_t offsets = sheet.add(batch.offset_B1);
  const size_t tiles = sheet.add(std::span<const int32_t>(tile_T2));
  sheet.send(ctx);
  block_call result = call(ctx, weights, batch.tokens(), rows);
  result.offset_B1 = {sheet.at<int64_t>(offsets), batch.offset_B1.size()};
  result.tile_T2 = {sheet.at<int32_t>(tiles), tile_T2.size()};
  return result;
}

block_call inference_model::parts::paged_call(context& ctx, const_reals weights, const paged_batch& batch) const {
  if (static_cast<int64_t>(batch.pages_L.size()) != description.layers) {
    throw error(errc::shape_mismatch, "the caches of {} layers came for a model of {}", batch.pages_L.size(),
                description.layers);
  }
  const kernels::page_map& where = batch.where;
  const int64_t rows = where.sequences == 0 ? 0 : where.row_S1[where.sequences];
  if (rows != static_cast<int64_t>(batch.token_N.size()) ||
      (rows > 0 && !(where.row_S1[0] == 0 && std::is_sorted(where.row_S1, where.row_S1 + where.sequences + 1)))) {
    throw error(errc::shape_mismatch, "the rows of {} tokens' sequences do not rise from 0 to {}", batch.token_N.size(),
                batch.token_N.size());
  }
  workspace& scratch = workspace_of(ctx);
  const std::span<const int32_t> position_N = count_positions(where.sequences, where.row_S1, where.position_S, scratch);
  check(batch.token_N, position_N);
  call_sheet& sheet = scratch.sheet;
  sheet.begin();
  const call_rows of_call(sheet, batch.token_N, position_N, table_offset(), false);
  const auto sequences = static_cast<size_t>(where.sequences);
  const size_t pages = sheet.add(std::span(where.page_SP, sequences * static_cast<size_t>(where.stride)));
  const size_t rows_at = sheet.add(std::span(where.row_S1, sequences == 0 ? 0 : sequences + 1));
  const size_t positions = sheet.add(std::span(where.position_S, sequences));
  sheet.send(ctx);
  block_call result = call(ctx, weights, rows, of_call);
  result.where = {.page_SP = sheet.at<int32_t>(pages),
                  .row_S1 = sheet.at<int64_t>(rows_at),
                  .position_S = sheet.at<int32_t>(positions),
                  .sequences = where.sequences,
                  .stride = where.stride,
                  .rows = rows};
  for (size_t s = 0; s < sequences; ++s) {
    const int64_t after = where.position_S[s] + where.row_S1[s + 1] - where.row_S1[s];
    result.where.longest = std::max(result.where.longest, after);
  }
  return result;
}

block_buffers inference_model::parts::scratch_buffers(const block_call& call) const {
  workspace& s = call.scratch;
  const block_slots& first = slots.blocks.front();
  block_buffers b{.input_ND = call.room(s.stream_ND, call.n * description.width),
                  .qkv_NE = call.room(s.qkv_NE, call.n * first.qkv.outputs),
                  .attention_NHK = call.room(s.attention_NHK, call.n * first.out.inputs),
                  .up_NU = call.room(s.up_NU, call.n * first.up.outputs)};
  b.middle_ND = b.input_ND;
  b.sum_ND = call.room(s.normed_ND, call.n * description.width);
  return b;
}

}  // namespace troupe::engine
