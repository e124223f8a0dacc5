/// What a model takes, by arithmetic alone: nothing is allocated, so a model of any size can be planned anywhere.
#pragma once

#include "base/dtype.hpp"
#include "engine/models/description.hpp"

#include <cstdint>

namespace troupe::engine {

/// Sizes of one model.
struct model_size {
  int64_t parameters = 0;       ///< logical elements
  int64_t arena_bytes = 0;      ///< weights in memory, the panels' padding included; gradients and moments are as large
  int64_t largest_bytes = 0;    ///< of the parameters
  int64_t matrix_elements = 0;  ///< elements that multiply every token: all matrices but embeddings, and the head
};

model_size size_of(const model_description& model);

/// How a model that learns is divided among ranks.
struct division_of_training {
  int ranks = 1, zero = 0;
  int64_t lanes = 1;
};

/// What the rank with the largest shard holds beside its weights (learner.hpp has the formulas), where an update has
/// more micro-batches than lanes.
struct training_memory {
  int64_t gradient_bytes = 0, moment_bytes = 0;
  int64_t transient_bytes = 0;  ///< gradients of a lane while it is summed, from stage 2 on: only during an update
  int64_t master_bytes = 0;     ///< where passes read another type: the weights that the optimizer steps
  int64_t shard_bytes = 0;      ///< of one arena: its part of a checkpoint's copy, or of an average
  /// What other ranks send for reductions under way: in stages 0 and 1 at most those of all segments, (R - 1) / R of an
  /// arena; from 2 on those of the two segments that are the most.
  int64_t collective_bytes = 0;
};

training_memory training_memory_of(const model_description& model, const division_of_training& division);

/// Weights (of `type`) of the rank with the largest shard in passes: all of them, or in ZeRO stage 3 its shard and the
/// two segments that are the most (rank_weights.hpp).
int64_t pass_weight_bytes(const model_description& model, int ranks, int zero, dtype type = dtype::f32);

/// Weights of the rank with the largest part, where `ranks` generate together (tensor_parallel/column_model.hpp); the
/// description of that part, for its cache and scratch, is description_of(model, split_columns(model, 0, ranks)).
/// Errors  bad_argument: those of split_columns.
int64_t column_weight_bytes(const model_description& model, int ranks, dtype type = dtype::f32);

/// Bytes that saved_activations holds for a micro-batch of so many tokens.
int64_t saved_activation_bytes(const model_description& model, int64_t tokens, bool checkpointing);

/// The largest micro-batch that a model runs.
struct planned_batch {
  int64_t tokens = 0;
  int64_t longest = 0;           ///< tokens of its longest sequence
  bool weights_fetched = false;  ///< from other ranks, segment by segment

  /// Tokens that a forward pass alone runs at once: a group of sequences (largest_forward_group), or one sequence that
  /// is longer than that; all of them where weights are fetched.
  int64_t forward_tokens() const;
};

/// Scratch of a forward pass with the states that it returns, and of training (forward, backward and the plain forward
/// that evaluates), on one thread.
int64_t forward_scratch_bytes(const model_description& model, const planned_batch& batch);
int64_t training_scratch_bytes(const model_description& model, const planned_batch& batch);

/// Scratch of a step of generation, which runs all its tokens at once.
int64_t generation_scratch_bytes(const model_description& model, int64_t step_tokens);

/// The logits that exist at one time where a language model is trained or scores (kernels/log_prob.hpp), and where it
/// samples (generate/token_sampler.hpp). Nothing for a scalar head, which does not sample.
int64_t head_scratch_bytes(const model_description& model);
int64_t sampling_scratch_bytes(const model_description& model);

/// What the products of one calling thread pack (kernels/matrix.hpp).
int64_t product_scratch_bytes();

/// Keys and values of so many sequences of so many positions.
int64_t cache_bytes(const model_description& model, int64_t sequences, int64_t positions);

/// Floating-point operations to run `tokens` tokens forward, each attending to `context` positions on average: 2 for
/// each weight that multiplies it, 4 for each position and query dimension. Training takes 3 times as many, or 4 with
/// activation checkpointing.
double forward_flops(const model_description& model, double tokens, double context);

}  // namespace troupe::engine
