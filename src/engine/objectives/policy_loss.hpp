/// PPO's loss of the policy: the weights of its tokens, and the sums of what they come to. The formula of one token is
/// in kernels/token_loss.hpp.
/// The weights w_a carry the mean (over tokens, or over sequences of their token means) with
/// *global* counts, so the losses and gradients of micro-batches add up exactly.
#pragma once

#include "engine/objectives/kl.hpp"
#include "kernels/token_loss.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

enum class loss_mean { token, sequence };

/// Global counts of an update's minibatch: counted answer tokens, and sequences with at least one.
struct answer_counts {
  double tokens = 0, sequences = 0;
};

/// Of some sequences; add up over micro-batches and ranks. counts_A empty: every token counts.
answer_counts count_answers(std::span<const int64_t> offset_B1, std::span<const uint8_t> counts_A = {});

/// w_a: token mean 1 / tokens; sequence mean 1 / (sequences * counted tokens of the sequence); 0
/// where a token does not count.
/// Errors  bad_argument: tokens to weigh but global counts of 0; shape_mismatch.
std::vector<double> answer_weights(loss_mean mean, const answer_counts& global, std::span<const int64_t> offset_B1,
                                   std::span<const uint8_t> counts_A = {});

using kernels::policy_settings;

/// Sums over counted tokens (the means are per counted token).
struct policy_statistics {
  int64_t tokens = 0, clipped = 0;
  int64_t different = 0;      ///< tokens whose logprob is not logprob_old to the last bit
  double loss = 0;            ///< share of the update's whole loss; shares add up to it
  double surrogate_loss = 0;  ///< share of its first term
  double ratio = 0, ratio_max = 0;
  double k1_nats = 0, k3_nats = 0;  ///< of the update: old against new (approximate KL)
  double ref_kl_nats = 0;           ///< k1 against the reference; 0 without one
  double entropy_nats = 0;

  void add(const policy_statistics& other);
  /// A sum per counted token.
  double mean(double sum) const { return tokens > 0 ? sum / static_cast<double>(tokens) : 0.0; }
  double clip_fraction() const { return mean(static_cast<double>(clipped)); }
};

/// Sums the loss's terms of the answer tokens, whose log-probabilities and entropies these are, in their order. A token
/// is counted as clipped where the ratio is outside of the clip range.
/// Errors  not_finite: a ratio, advantage or loss is NaN or infinite (the text says which token).
policy_statistics policy_sums(const kernels::token_loss& loss, std::span<const float> logprob_A,
                              std::span<const float> entropy_A);

}  // namespace troupe::engine
