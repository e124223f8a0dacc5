#include "engine/plan.hpp"

#include "engine/arena/parameters.hpp"
#include "engine/arena/shards.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/generate/token_sampler.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/models/slots.hpp"
#include "engine/models/workspace.hpp"
#include "engine/optim/learner.hpp"
#include "engine/optim/rank_weights.hpp"
#include "engine/tensor_parallel/columns.hpp"
#include "engine/train/micro_batch.hpp"
#include "kernels/log_prob.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>

namespace troupe::engine {

namespace {

constexpr int64_t float_bytes = sizeof(float);

/// The rank with the largest shard: the lowest of several.
int largest_of(const shard_plan& plan) {
  int largest = 0;
  for (int rank = 1; rank < plan.ranks(); ++rank) {
    largest = plan.shard_size(rank) > plan.shard_size(largest) ? rank : largest;
  }
  return largest;
}

}  // namespace

model_size size_of(const model_description& model) {
  parameter_layout layout;
  const model_slots slots = lay_out(model, layout);
  model_size size{.parameters = layout.parameter_count(), .arena_bytes = layout.arena_size() * float_bytes};
  for (const parameter& p : layout.all()) {
    size.largest_bytes = std::max(size.largest_bytes, p.size * float_bytes);
  }
  for (const block_slots& block : slots.blocks) {
    for (const linear_slot* linear : {&block.qkv, &block.out, &block.up, &block.down}) {
      size.matrix_elements += linear->outputs * linear->inputs;
    }
  }
  for (const linear_slot* linear : {&slots.project_in, &slots.project_out, &slots.head}) {
    size.matrix_elements += linear->outputs * linear->inputs;
  }
  return size;
}

training_memory training_memory_of(const model_description& model, const division_of_training& division) {
  parameter_layout layout;
  lay_out(model, layout);
  const shard_plan plan(layout, layout.segments(), division.ranks);
  const int largest = largest_of(plan);
  const learner_settings settings{.adamw = {}, .lanes = division.lanes, .zero = division.zero};
  const int64_t more_than_lanes = 1 + std::max<int64_t>(division.lanes, division.ranks);
  const learner_memory held = learner_memory_of(plan, largest, settings, more_than_lanes);
  return {.gradient_bytes = held.sum_bytes,
          .moment_bytes = held.moment_bytes,
          .transient_bytes = held.transient_bytes,
          .master_bytes = held.moment_bytes / 2,  // divided as each of the two moments is
          .shard_bytes = plan.shard_size(largest) * float_bytes,
          .collective_bytes = held.arriving_bytes};
}

int64_t column_weight_bytes(const model_description& model, int ranks, dtype type) {
  parameter_layout layout;
  lay_out(model, split_columns(model, 0, ranks), layout);
  return layout.arena_size() * size_of(type);
}

int64_t pass_weight_bytes(const model_description& model, int ranks, int zero, dtype type) {
  parameter_layout layout;
  lay_out(model, layout);
  if (ranks == 1 || zero < 3) {
    return layout.arena_size() * size_of(type);
  }
  const shard_plan plan(layout, layout.segments(), ranks);
  int64_t most = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    most = std::max(most, gathered_weights::most_values(plan, rank));
  }
  return most * size_of(type);
}

int64_t saved_activation_bytes(const model_description& model, int64_t tokens, bool checkpointing) {
  return saved_activations::bytes_for(model, tokens, checkpointing);
}

int64_t planned_batch::forward_tokens() const {
  return weights_fetched ? tokens : std::min(tokens, std::max(longest, largest_forward_group));
}

int64_t forward_scratch_bytes(const model_description& model, const planned_batch& batch) {
  const workspace_row row = workspace_row_of(model);
  const int64_t results = 2 * model.embedding_width * batch.tokens;  // hidden states, and the rows that are scored
  return ((row.every_pass + row.keeping_nothing) * batch.forward_tokens() + results) * float_bytes;
}

int64_t training_scratch_bytes(const model_description& model, const planned_batch& batch) {
  const workspace_row row = workspace_row_of(model);
  const int64_t training = row.every_pass + row.backward + train_workspace::row_floats(model);
  return (training * batch.tokens + row.keeping_nothing * batch.forward_tokens()) * float_bytes;
}

int64_t generation_scratch_bytes(const model_description& model, int64_t step_tokens) {
  const workspace_row row = workspace_row_of(model);
  return (row.every_pass + row.keeping_nothing) * step_tokens * float_bytes;
}

int64_t head_scratch_bytes(const model_description& model) {
  return model.scalar_head ? 0 : kernels::logit_rows(model.vocabulary) * model.vocabulary * float_bytes;
}

int64_t sampling_scratch_bytes(const model_description& model) {
  return token_sampler::rows_at_once * model.vocabulary * float_bytes;
}

int64_t product_scratch_bytes() { return kernels::product_scratch_floats * float_bytes; }

int64_t cache_bytes(const model_description& model, int64_t sequences, int64_t positions) {
  return sequences * (kv_cache::pages_for(positions) + 1) * kv_cache::page_bytes(model);
}

double forward_flops(const model_description& model, double tokens, double context) {
  const auto weights = static_cast<double>(size_of(model).matrix_elements);
  const auto attention = static_cast<double>(model.layers * model.heads * model.head_width) * context;
  return tokens * (2 * weights + 4 * attention);
}

}  // namespace troupe::engine
