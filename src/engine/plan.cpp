#include "engine/plan.hpp"

#include "engine/arena/parameters.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/models/slots.hpp"
#include "engine/optim/learner.hpp"
#include "engine/tensor_parallel/columns.hpp"

#include <algorithm>

namespace troupe::engine {

namespace {

constexpr int64_t float_bytes = sizeof(float);

/// Widths of the rows that passes keep or work on.
struct row_widths {
  explicit row_widths(const model_description& m)
      : width(m.width), embedding(m.embedding_width), query(m.heads * m.head_width),
        qkv((m.heads + 2 * m.kv_heads) * m.head_width), up((m.gated ? 2 : 1) * m.feed_forward),
        feed_forward(m.feed_forward) {}
  int64_t width, embedding, query, qkv, up, feed_forward;
};

/// (R - 1) pieces of a rank's part arrive for each segment that is being reduced (parallel/mpi.cpp).
int64_t arriving_floats(const shard_plan& plan, int rank, int zero) {
  int64_t all = 0;
  int64_t two = 0;
  int64_t before = 0;
  for (int64_t s = 0; s < plan.segments(); ++s) {
    const int64_t one = plan.part(s, rank).size() * (plan.ranks() - 1);
    all += one;
    two = std::max(two, before + one);
    before = one;
  }
  return zero >= 2 ? two : all;
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
    for (const linear_slot* one : {&block.qkv, &block.out, &block.up, &block.down}) {
      size.matrix_elements += one->outputs * one->inputs;
    }
  }
  for (const linear_slot* one : {&slots.project_in, &slots.project_out, &slots.head}) {
    size.matrix_elements += one->outputs * one->inputs;
  }
  return size;
}

training_memory training_memory_of(const model_description& model, const division_of_training& division) {
  parameter_layout layout;
  lay_out(model, layout);
  const shard_plan plan(layout, layout.segments(), division.ranks);
  int largest = 0;
  for (int rank = 1; rank < division.ranks; ++rank) {
    largest = plan.shard_size(rank) > plan.shard_size(largest) ? rank : largest;
  }
  const bool sharded = division.ranks > 1 && division.zero > 0;
  training_memory memory;
  memory.shard_bytes = plan.shard_size(largest) * float_bytes;
  memory.moment_bytes = 2 * (sharded ? memory.shard_bytes : plan.arena_size() * float_bytes);
  const learner_settings settings{.adamw = {}, .lanes = division.lanes, .zero = division.zero};
  const int64_t more_than_lanes = 1 + std::max<int64_t>(division.lanes, division.ranks);
  memory.transient_bytes = division.ranks > 1 && division.zero >= 2 ? plan.arena_size() * float_bytes : 0;
  memory.gradient_bytes =
      learner_bytes(plan, largest, settings, more_than_lanes) - memory.moment_bytes - memory.transient_bytes;
  memory.collective_bytes = arriving_floats(plan, largest, division.zero) * float_bytes;
  return memory;
}

int64_t column_weight_bytes(const model_description& model, int ranks) {
  parameter_layout layout;
  lay_out(model, split_columns(model, 0, ranks), layout);
  return layout.arena_size() * float_bytes;
}

int64_t pass_weight_bytes(const model_description& model, int ranks, int zero) {
  parameter_layout layout;
  lay_out(model, layout);
  if (ranks == 1 || zero < 3) {
    return layout.arena_size() * float_bytes;
  }
  const shard_plan plan(layout, layout.segments(), ranks);
  int64_t most = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto others = [&](int64_t s) { return plan.segment(s).size() - plan.part(s, rank).size(); };
    for (int64_t s = 0; s + 1 < plan.segments(); ++s) {
      most = std::max(most, plan.shard_size(rank) + others(s) + others(s + 1));
    }
  }
  return most * float_bytes;
}

int64_t saved_activation_bytes(const model_description& model, int64_t tokens, bool checkpointing) {
  const row_widths w(model);
  int64_t block = w.qkv + w.query + model.heads + w.up;
  block += model.parallel_residual ? 0 : w.width;
  block += model.norm_first ? 0 : w.width;
  const int64_t blocks = checkpointing ? 1 : model.layers;
  return ((model.layers + 1) * w.width + blocks * block) * tokens * float_bytes;
}

int64_t forward_scratch_bytes(const model_description& model, int64_t tokens) {
  const row_widths w(model);
  const int64_t row = 3 * w.width + w.embedding + w.qkv + w.query + w.up + w.feed_forward;
  return row * std::min(tokens, largest_forward_group) * float_bytes;
}

int64_t training_scratch_bytes(const model_description& model, int64_t tokens) {
  const row_widths w(model);
  const int64_t forward = 3 * w.width + w.embedding + w.feed_forward;
  const int64_t backward = 2 * w.width + w.query + w.qkv + w.feed_forward;
  const int64_t head = 4 * w.embedding;            // hidden states, their gradient, and the rows that predict of both
  const int64_t scoring = w.qkv + w.query + w.up;  // what a plain forward does not find in saved activations
  return ((forward + backward + head) * tokens + scoring * std::min(tokens, largest_forward_group)) * float_bytes;
}

int64_t cache_bytes(const model_description& model, int64_t sequences, int64_t positions) {
  return sequences * (kv_cache::pages_for(positions) + 1) * kv_cache::page_bytes(model);
}

double forward_flops(const model_description& model, double tokens, double context) {
  const auto weights = static_cast<double>(size_of(model).matrix_elements);
  const auto attention = static_cast<double>(model.layers * model.heads * model.head_width) * context;
  return tokens * (2 * weights + 4 * attention);
}

}  // namespace troupe::engine
