/// PPO's loss of the policy and its gradient per answer token.
///   ratio = exp(logprob - logprob_old)
///   loss  = sum_a w_a [ max(-A ratio, -A clip(ratio, 1 - clip_low, 1 + clip_high))
///                       + kl_coefficient [ratio] k(logprob - logprob_ref) - entropy_coefficient entropy_a ]
/// [ratio] is a weight without a gradient: it makes the KL term of samples that an older policy has drawn that of the
/// policy's own (it is 1 before the first update of an iteration).
/// The weights w_a carry the mean (over tokens, or over sequences of their token means) with
/// *global* counts, so the losses and gradients of micro-batches add up exactly.
/// Source  Schulman et al., arXiv:1707.06347.
#pragma once

#include "engine/objectives/kl.hpp"

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

struct policy_settings {
  double clip_low = 0.2, clip_high = 0.2;  ///< DeepSpeed-Chat's values
  double entropy_coefficient = 0;
  double kl_coefficient = 0;                       ///< KL as a term of the loss
  kl_estimator estimator = kl_estimator::k3_plus;  ///< of that term; k1 has no gradient on average
};

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

/// Spans over the same answer tokens: all of a micro-batch, or a block of its rows.
struct policy_loss_args {
  std::span<float> dlogprob_A, dentropy_A;  ///< overwritten
  std::span<const float> logprob_A, entropy_A;
  std::span<const float> logprob_old_A, advantage_A;
  std::span<const float> logprob_ref_A;  ///< may be empty where kl_coefficient is 0
  std::span<const double> weight_A;      ///< 0: does not count
};

/// A token is counted as clipped where the ratio is outside of the clip range.
/// Errors  shape_mismatch; not_finite: a ratio or log-probability is NaN or infinite (the text says
/// which token).
void policy_loss(const policy_settings& settings, const policy_loss_args& args, policy_statistics& statistics);

}  // namespace troupe::engine
