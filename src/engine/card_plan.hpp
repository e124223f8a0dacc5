/// What a model takes of a card, by arithmetic alone: beside plan.hpp, which has the host's.
///
/// Numbers of passes are of the weights' type there; logits, statistics and gradients of weights are float32.
#pragma once

#include "base/dtype.hpp"
#include "engine/models/description.hpp"
#include "engine/plan.hpp"

#include <cstdint>

namespace troupe::engine {

/// Weights (of `type`) while passes run: all of them; or, where they are fetched from other ranks or from host memory,
/// the two neighbouring segments that are the most.
int64_t card_weight_bytes(const model_description& model, bool weights_fetched, dtype type);

/// Gradients while the model trains, where sums are in host memory (train/card_gradients.hpp): those of the two
/// neighbouring segments that are the most, and of the first where a tied head's gradient goes to it before all others.
int64_t card_gradient_bytes(const model_description& model);
/// And the pinned host memory through which they go: of the largest segment, two that go down and one that comes up.
int64_t pinned_gradient_bytes(const model_description& model);

/// What a model that trains keeps for a micro-batch: saved activations, hidden states, the rows that predict, and the
/// gradients of these.
int64_t card_activation_bytes(const model_description& model, int64_t tokens, bool checkpointing, dtype type);

/// Keys and values: whole pages, all of which come with the first.
int64_t card_cache_bytes(const model_description& model, int64_t budget_mib, dtype type);

/// What steps of single tokens have for themselves (card_decoder.hpp), for each number of rows that so many sequences
/// come to as they end.
int64_t card_decoding_bytes(const model_description& model, int64_t sequences, dtype type);

/// Where ranks that generate together gather their columns, until each is in its place (tensor_parallel/columns.hpp).
int64_t card_columns_bytes(const model_description& model, int64_t step_tokens, dtype type);

/// Buffers that all models of a card share, since their passes follow each other: they grow to the largest and stay.
class card_scratch {
public:
  /// `weights`: of the passes' own type, here and below.
  void add_forward(const model_description& model, const planned_batch& batch, dtype weights);
  void add_training(const model_description& model, const planned_batch& batch, dtype weights);
  /// Steps of generation, and the sampling of its tokens.
  void add_generation(const model_description& model, int64_t step_tokens, dtype weights);

  int64_t bytes() const { return every_pass_ + keeping_nothing_ + backward_ + results_ + head_; }

private:
  int64_t every_pass_ = 0, keeping_nothing_ = 0, backward_ = 0;
  int64_t results_ = 0;  ///< hidden states and rows that a pass alone returns
  int64_t head_ = 0;     ///< logits, with their gradients
};

}  // namespace troupe::engine
