/// Model + head + objective for one micro-batch: forward, loss, backward. Gradients are accumulated
/// onto an arena of the model's layout; losses and gradients are shares of the update's (global
/// counts in the arguments), so the micro-batches of an update, on any rank, add up to it.
#pragma once

#include "base/context.hpp"
#include "engine/models/transformer.hpp"
#include "engine/objectives/pairwise.hpp"
#include "engine/objectives/ppo.hpp"
#include "engine/objectives/sft.hpp"
#include "engine/tensor/buffer.hpp"
#include "engine/train/batch.hpp"
#include "engine/train/card_gradients.hpp"

#include <functional>
#include <span>

namespace troupe::engine {

/// Buffers that a model's micro-batches share; they grow to the largest and stay.
struct train_workspace {
  explicit train_workspace(bool checkpointing = false) : saved(checkpointing), checkpointing_(checkpointing) {}

  /// All of a card's memory, which generation needs. Pinned memory stays: it takes long to pin.
  void give_back();

  saved_activations saved;
  buffer hidden_ND, dhidden_ND;
  buffer rows_AD, drows_AD;  ///< those rows that predict something
  card_gradients gradients;  ///< on a card whose learner's sums are in host memory

  int64_t bytes() const;
  /// Floats for a token of a micro-batch, beside `saved`.
  static int64_t row_floats(const model_description& description) { return 4 * description.embedding_width; }

private:
  bool checkpointing_;
};

/// The model to train and where its gradients go.
struct trainee {
  const transformer& net;
  weights_view weights;
  float* gradients;
  train_workspace& workspace;
  std::function<void(int64_t)> segment_done = {};  ///< see transformer::backward
};

/// A micro-batch without anything: fetches the weights that others fetch meanwhile, and lets them go. The objectives
/// below do the same where a batch has nothing to learn.
void idle_micro_batch(context& ctx, const trainee& model);

/// Supervised fine-tuning, and PPO's mixture term (scale.coefficient): learns the answers. A micro-batch without an
/// answer token adds nothing.
lm_statistics sft_micro_batch(context& ctx, const trainee& model, const packed_batch& batch, const lm_scale& scale);

/// Reward model: sequences 2p, 2p + 1 are pair p. `pairs` is the update's count. end_B as in
/// pairwise.hpp.
pair_statistics reward_micro_batch(context& ctx, const trainee& model, const packed_batch& batch,
                                   const pair_settings& settings, double pairs, std::span<const int64_t> end_B = {});

/// What PPO knows of the batch's answer tokens, packed as answer_rows has them.
struct policy_targets {
  std::span<const float> logprob_old_A, logprob_ref_A, advantage_A;
  std::span<const double> weight_A;  ///< answer_weights
  float temperature = 1.0F;          ///< of the rollout; 0 (greedy) counts as 1
};

policy_statistics policy_micro_batch(context& ctx, const trainee& model, const packed_batch& batch,
                                     const policy_settings& settings, const policy_targets& targets);

struct critic_targets {
  std::span<const float> value_old_A, return_A;
  std::span<const double> weight_A;
};

value_statistics critic_micro_batch(context& ctx, const trainee& model, const packed_batch& batch,
                                    const value_settings& settings, const critic_targets& targets);

}  // namespace troupe::engine
