#include "engine/models/transformer.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"
#include "engine/models/block.hpp"
#include "engine/models/saved_activations.hpp"
#include "engine/models/transformer_parts.hpp"
#include "kernels/matrix.hpp"

namespace troupe::engine {

transformer::transformer(const model_description& description) : parts_(std::make_unique<parts>(description)) {}

transformer::~transformer() = default;
transformer::transformer(transformer&&) noexcept = default;

const model_description& transformer::description() const { return parts_->description; }
const parameter_layout& transformer::layout() const { return parts_->layout; }

std::vector<arena_range> transformer::segments() const { return segments_of(parts_->slots, parts_->layout); }

void transformer::logits(context& ctx, const float* weights, int64_t n, const float* hidden_ND,
                         float* logits_NV) const {
  const linear_slot& head = parts_->slots.head;
  in_columns(parts_->columns.get(), &column_split::token_R1, thread_workspace(), n, logits_NV, [&](float* y_NV) {
    kernels::linear_forward(ctx, {.y_NO = y_NV,
                                  .x_NI = hidden_ND,
                                  .weight = at(weights, head.weight),
                                  .n = n,
                                  .outputs = head.outputs,
                                  .inputs = head.inputs});
  });
}

const float* transformer::head(const float* arena) const { return arena + parts_->slots.head.weight; }
float* transformer::head(float* arena) const { return arena + parts_->slots.head.weight; }

int64_t transformer::head_segment() const {
  const bool tied = parts_->slots.head.weight == parts_->slots.token_table.weight;
  return tied ? 0 : parts_->last_segment();
}

void transformer::parts::forward_group(context& ctx, const weights_view& weights, const token_batch& group,
                                       float* hidden_NE) const {
  const block_call call = packed_call(ctx, weights.data, group);
  segment_walk walk(ctx, weights.access, 0, last_segment());
  if (call.n == 0) {
    walk.enter_all();
    return;
  }
  const block_buffers buffers = scratch_buffers(call);
  walk.enter_next();
  embed(call, group.token_N.data(), buffers.input_ND);
  for (const block_slots& block : slots.blocks) {
    walk.enter_next();
    block_forward(call, block, {}, buffers, buffers.input_ND);
  }
  walk.enter_next();
  finish(call, buffers.input_ND, hidden_NE);
}

/// A row does not depend on the batch, so a large one is run as groups of sequences: scratch is
/// bounded by the larger of a group and the longest sequence.
static constexpr int64_t group_tokens = 2048;

void transformer::forward(context& ctx, const weights_view& weights, const token_batch& batch, float* hidden_ND) const {
  if (batch.tokens() <= group_tokens || weights.access != nullptr) {
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
    } while (first < batch.sequences() && batch.offset_B1[static_cast<size_t>(first) + 1] - start <= group_tokens);
    const auto begin = static_cast<size_t>(start);
    const auto count = static_cast<size_t>(offset_B1.back());
    const token_batch group{.token_N = batch.token_N.subspan(begin, count),
                            .offset_B1 = offset_B1,
                            .position_N =
                                batch.position_N.empty() ? batch.position_N : batch.position_N.subspan(begin, count)};
    parts_->forward_group(ctx, weights, group, hidden_ND + start * parts_->description.embedding_width);
  }
}

void transformer::forward(context& ctx, const weights_view& weights, const token_batch& batch, float* hidden_ND,
                          saved_activations& saved) const {
  TROUPE_ASSERT(parts_->columns == nullptr);  // a rank's columns generate, they do not learn
  const block_call call = parts_->packed_call(ctx, weights.data, batch);
  saved_activations::storage& kept = *saved.storage_;
  kept.prepare(parts_->description, call.n);
  segment_walk walk(ctx, weights.access, 0, parts_->last_segment());
  if (call.n == 0) {
    walk.enter_all();
    return;
  }
  walk.enter_next();
  parts_->embed(call, batch.token_N.data(), kept.input(0));
  for (int64_t layer = 0; layer < kept.layers; ++layer) {
    walk.enter_next();
    block_forward(call, parts_->slots.blocks[static_cast<size_t>(layer)], {}, kept.block(layer), kept.input(layer + 1));
  }
  walk.enter_next();
  parts_->finish(call, kept.input(kept.layers), hidden_ND);
}

void transformer::backward(context& ctx, const weights_view& weights, const token_batch& batch,
                           saved_activations& saved, float* dhidden_ND, float* gradients,
                           const std::function<void(int64_t)>& segment_done) const {
  TROUPE_ASSERT(parts_->columns == nullptr);
  const block_call call = parts_->packed_call(ctx, weights.data, batch);
  saved_activations::storage& kept = *saved.storage_;
  if (kept.n != call.n || kept.layers != parts_->description.layers) {
    throw error(errc::shape_mismatch, "backward was given {} tokens and {} layers, the saved forward had {} and {}",
                call.n, parts_->description.layers, kept.n, kept.layers);
  }
  segment_walk walk(ctx, weights.access, parts_->last_segment(), parts_->embeds_further() ? 0 : 1);
  const auto done = [&](int64_t segment) {
    if (segment_done) {
      segment_done(segment);
    }
  };
  if (call.n == 0) {
    for (int64_t segment = parts_->last_segment(); weights.access != nullptr && segment >= 0; --segment) {
      walk.enter_next();
      done(segment);
    }
    return;
  }
  float* dstream_ND = room(call.scratch.dstream_ND, call.n * kept.width);
  walk.enter_next();
  parts_->finish_backward(call, kept.input(kept.layers), dhidden_ND, dstream_ND, gradients);
  done(kept.layers + 1);
  for (int64_t layer = kept.layers - 1; layer >= 0; --layer) {
    const block_slots& block = parts_->slots.blocks[static_cast<size_t>(layer)];
    const block_buffers buffers = kept.block(layer);
    walk.enter_next();
    if (kept.checkpointing) {
      block_forward(call, block, {}, buffers, nullptr);
    }
    block_backward(call, block, buffers, dstream_ND, gradients);
    done(layer + 1);
  }
  walk.enter_next();  // where it reads any
  parts_->embed_backward(call, batch.token_N.data(), dstream_ND, gradients);
  done(0);
}

void transformer::extend(context& ctx, const float* weights, const paged_batch& batch, float* hidden_ND) const {
  const block_call call = parts_->paged_call(ctx, weights, batch);
  if (call.n == 0) {
    return;
  }
  const block_buffers buffers = parts_->scratch_buffers(call);
  parts_->embed(call, batch.token_N.data(), buffers.input_ND);
  for (size_t layer = 0; layer < parts_->slots.blocks.size(); ++layer) {
    block_forward(call, parts_->slots.blocks[layer], batch.pages_L[layer], buffers, buffers.input_ND);
  }
  parts_->finish(call, buffers.input_ND, hidden_ND);
}

}  // namespace troupe::engine
