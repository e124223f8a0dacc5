#include "engine/models/inference_model.hpp"

#include "engine/models/block.hpp"
#include "engine/models/transformer_parts.hpp"
#include "kernels/matrix.hpp"

namespace troupe::engine {

inference_model::inference_model(const model_description& whole, const model_share& share,
                                 std::unique_ptr<result_exchange> others)
    : parts_(std::make_unique<parts>(whole, share, std::move(others))) {}

inference_model::inference_model(const model_description& description)
    : inference_model(description, all_of(description), std::make_unique<result_exchange>()) {}

inference_model::~inference_model() = default;
inference_model::inference_model(inference_model&&) noexcept = default;

const model_description& inference_model::description() const { return parts_->description; }
const parameter_layout& inference_model::layout() const { return parts_->layout; }

void inference_model::logits(context& ctx, const_reals weights, int64_t n, const_reals hidden_ND,
                             reals logits_NV) const {
  const linear_slot& head = parts_->slots.head;
  result_exchange& results = *parts_->results;
  kernels::linear_forward(ctx, {.y_NO = results.own_columns(ctx, divided_result::logits, n, logits_NV),
                                .x_NI = hidden_ND,
                                .weight = at(weights, head.weight),
                                .n = n,
                                .outputs = head.outputs,
                                .inputs = head.inputs});
  results.complete(ctx, divided_result::logits, n, logits_NV);
}

const_reals inference_model::head(const_reals arena) const { return arena + parts_->slots.head.weight; }
float* inference_model::head(float* arena) const { return arena + parts_->slots.head.weight; }

int64_t inference_model::head_segment() const {
  const bool tied = parts_->slots.head.weight == parts_->slots.token_table.weight;
  return tied ? 0 : parts_->last_segment();
}

void inference_model::parts::forward_group(context& ctx, const weights_view& weights, const token_batch& group,
                                           reals hidden_NE) const {
  const block_call call = packed_call(ctx, weights.data, group);
  segment_walk walk(ctx, weights.access, 0, last_segment());
  if (call.n == 0) {
    walk.enter_all();
    return;
  }
  const block_buffers buffers = scratch_buffers(call);
  walk.enter_next();
  embed(call, buffers.input_ND);
  for (const block_slots& block : slots.blocks) {
    walk.enter_next();
    block_forward(call, block, {}, buffers, buffers.input_ND);
  }
  walk.enter_next();
  finish(call, buffers.input_ND, hidden_NE);
}

/// A row does not depend on the batch, so a large one is run as groups of sequences: scratch is
/// bounded by the larger of a group and the longest sequence.
void inference_model::forward(context& ctx, const weights_view& weights, const token_batch& batch,
                              reals hidden_ND) const {
  if (batch.tokens() <= largest_forward_group || weights.access != nullptr) {
    parts_->forward_group(ctx, weights, batch, hidden_ND);
    return;
  }
  parts::check_batch(batch);
  std::vector<int64_t> offset_B1;
  for (int64_t first = 0; first < batch.sequences();) {
    const int64_t start = batch.offset_B1[static_cast<size_t>(first)];
    offset_B1.assign(1, 0);
    do {
      ++first;
      offset_B1.push_back(batch.offset_B1[static_cast<size_t>(first)] - start);
    } while (first < batch.sequences() &&
             batch.offset_B1[static_cast<size_t>(first) + 1] - start <= largest_forward_group);
    const auto begin = static_cast<size_t>(start);
    const auto count = static_cast<size_t>(offset_B1.back());
    const token_batch group{.token_N = batch.token_N.subspan(begin, count),
                            .offset_B1 = offset_B1,
                            .position_N =
                                batch.position_N.empty() ? batch.position_N : batch.position_N.subspan(begin, count)};
    parts_->forward_group(ctx, weights, group, hidden_ND + start * parts_->description.embedding_width);
  }
}

void inference_model::parts::extend(const block_call& call, std::span<const kernels::kv_pages> pages_L,
                                    reals hidden_ND) const {
  const block_buffers buffers = scratch_buffers(call);
  embed(call, buffers.input_ND);
  for (size_t layer = 0; layer < slots.blocks.size(); ++layer) {
    block_forward(call, slots.blocks[layer], pages_L[layer], buffers, buffers.input_ND);
  }
  finish(call, buffers.input_ND, hidden_ND);
}

void inference_model::extend(context& ctx, const_reals weights, const paged_batch& batch, reals hidden_ND) const {
  const block_call call = parts_->paged_call(ctx, weights, batch);
  if (call.n > 0) {
    parts_->extend(call, batch.pages_L, hidden_ND);
  }
}

void inference_model::extend(context& ctx, const_reals weights, const placed_batch& batch, workspace& scratch,
                             reals hidden_ND) const {
  parts_->extend(parts_->placed_call(ctx, weights, batch, scratch), batch.pages_L, hidden_ND);
}

bool inference_model::needs_host() const { return parts_->results->needs_host(); }

}  // namespace troupe::engine
