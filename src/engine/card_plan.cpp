#include "engine/card_plan.hpp"

#include "engine/arena/parameters.hpp"
#include "engine/generate/card_decoder.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/generate/token_sampler.hpp"
#include "engine/models/slots.hpp"
#include "engine/models/workspace.hpp"
#include "engine/train/micro_batch.hpp"
#include "kernels/card_logits.hpp"

#include <algorithm>
#include <vector>

namespace troupe::engine {

namespace {

constexpr int64_t float_bytes = sizeof(float);

void grow(int64_t& to, int64_t bytes) { to = std::max(to, bytes); }

/// Of workspace_row's widths, only what a model uses: embeddings stand apart only where more becomes of them.
workspace_row row_on_card(const model_description& model) {
  workspace_row row = workspace_row_of(model);
  if (model.embedding_width == model.width && !model.embedding_norm) {
    row.every_pass -= model.embedding_width;
  }
  return row;
}

int64_t logit_bytes(const model_description& model, int64_t rows, bool narrow_gradients) {
  if (model.scalar_head) {
    return 0;
  }
  const kernels::card_logits most = kernels::card_logits_of(model.vocabulary);
  return kernels::card_logit_room_of(std::min(rows, most.rows), most.stride, narrow_gradients).bytes;
}

}  // namespace

/// From segment `first` on.
static int64_t most_of_two(const std::vector<arena_range>& segments, size_t first) {
  int64_t most = 0;
  for (size_t s = first; s + 1 < segments.size(); ++s) {
    grow(most, segments[s].size() + segments[s + 1].size());
  }
  return most;
}

int64_t card_weight_bytes(const model_description& model, bool weights_fetched, dtype type) {
  parameter_layout layout;
  lay_out(model, layout);
  return (weights_fetched ? most_of_two(layout.segments(), 0) : layout.arena_size()) * size_of(type);
}

int64_t card_gradient_bytes(const model_description& model) {
  parameter_layout layout;
  const model_slots slots = lay_out(model, layout);
  const std::vector<arena_range> segments = layout.segments();
  const bool tied = slots.head.weight == slots.token_table.weight;
  const int64_t values = tied ? segments.front().size() + most_of_two(segments, 1) : most_of_two(segments, 0);
  return values * float_bytes;
}

int64_t pinned_gradient_bytes(const model_description& model) {
  parameter_layout layout;
  lay_out(model, layout);
  int64_t largest = 0;
  for (const arena_range segment : layout.segments()) {
    grow(largest, segment.size());
  }
  return 3 * largest * float_bytes;
}

int64_t card_activation_bytes(const model_description& model, int64_t tokens, bool checkpointing, dtype type) {
  const int64_t saved = saved_activations::bytes_for(model, tokens, checkpointing) / float_bytes;
  const int64_t statistics = tokens * (checkpointing ? 1 : model.layers) * model.heads;  // of attention: float32
  const int64_t rows = tokens * train_workspace::row_floats(model);
  return (saved - statistics + rows) * size_of(type) + statistics * float_bytes;
}

int64_t card_cache_bytes(const model_description& model, int64_t budget_mib, dtype type) {
  const int64_t page = kv_cache::page_bytes(model, type);
  return std::max<int64_t>(1, budget_mib * (int64_t{1} << 20) / page) * page;
}

int64_t card_decoding_bytes(const model_description& model, int64_t sequences, dtype type) {
  const workspace_row widths = row_on_card(model);
  const int64_t row = (widths.every_pass + widths.keeping_nothing + model.embedding_width) * size_of(type) +
                      model.vocabulary * float_bytes;
  int64_t rows = 0;
  for (const int64_t count : card_decoder::row_counts) {
    rows += count;
    if (count >= sequences) {
      break;
    }
  }
  return rows * row;
}

int64_t card_columns_bytes(const model_description& model, int64_t step_tokens, dtype type) {
  const int64_t widest = std::max({model.feed_forward, model.heads * model.head_width, model.width});
  return std::max(step_tokens * widest * size_of(type), sampling_scratch_bytes(model));
}

void card_scratch::add_forward(const model_description& model, const planned_batch& batch, dtype weights) {
  const workspace_row row = row_on_card(model);
  grow(every_pass_, row.every_pass * batch.forward_tokens() * size_of(weights));
  grow(keeping_nothing_, row.keeping_nothing * batch.forward_tokens() * size_of(weights));
  grow(results_, 2 * model.embedding_width * batch.tokens * size_of(weights));
  grow(head_, logit_bytes(model, batch.tokens, false));
}

void card_scratch::add_training(const model_description& model, const planned_batch& batch, dtype weights) {
  const workspace_row row = row_on_card(model);
  grow(every_pass_, row.every_pass * batch.tokens * size_of(weights));
  grow(backward_, row.backward * batch.tokens * size_of(weights));
  grow(head_, logit_bytes(model, batch.tokens, weights != dtype::f32));
  add_forward(model, batch, weights);  // as it is evaluated, or scores its own answers
}

void card_scratch::add_generation(const model_description& model, int64_t step_tokens, dtype weights) {
  const workspace_row row = row_on_card(model);
  grow(every_pass_, row.every_pass * step_tokens * size_of(weights));
  grow(keeping_nothing_, row.keeping_nothing * step_tokens * size_of(weights));
  grow(results_, model.embedding_width * step_tokens * size_of(weights) + sampling_scratch_bytes(model));
}

}  // namespace troupe::engine
