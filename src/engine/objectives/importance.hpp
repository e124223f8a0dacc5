/// Importance weights: how much an answer that another policy sampled says about the policy as it is now.
///   d_a = log pi(a) - log mu(a);  w_a = exp(d_a)
/// with pi the policy at the start of an iteration's updates, mu the one that sampled. No gradient flows through them.
/// Source  truncated: Yao et al., "Your efficient RL framework secretly brings you off-policy RL training" (2025);
///         effective sample size: Kong, Technical Report 348, University of Chicago (1992).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace troupe::engine {

enum class importance_rule {
  none,            ///< 1
  truncated,       ///< w, held within [low, high]
  masked,          ///< w within [low, high], else 0
  sequence_mask,   ///< the product of w over the answer, within [low, high], else 0
  geometric_mask,  ///< w in answers whose exp(mean d) is within [low, high], else 0
};

struct importance_settings {
  importance_rule rule = importance_rule::truncated;
  double low = 0, high = 2;
};

/// The rule's own bounds where both are 0: [0, 2], [0.5, 5], [0, 3], [0.999, 1.002].
importance_settings importance_of(importance_rule rule, double low, double high);

struct importance_args {
  std::span<float> weight_A;                            ///< overwritten; 0 where `counts_A` says so
  std::span<const float> logprob_now_A, logprob_old_A;  ///< pi, mu; nats
  std::span<const int64_t> offset_B1;
  std::span<const uint8_t> counts_A;  ///< empty: all count
  std::span<const float> score_B;     ///< of the answers; NaN: none; empty: nothing is said of them
};

/// Fills the weights, and says how far the two policies are apart, over the tokens that count, by names to which
/// metrics.jsonl adds whose answers they are of:
///   ess_share             (sum w)^2 / (n sum w^2), of w as it is before any bound; of the products over answers with
///                         sequence_mask
///   chi2                  mean w^2 - 1, of the same
///   weight_mean, weight_max       of the weights
///   masked_share          tokens with weight 0
///   behaviour_kl_nats     mean of -d: KL(mu || pi) per token
///   behaviour_kl_k3_nats  mean of exp(d) - 1 - d
///   log_ratio_max         largest |d|
///   score_estimate        sum W_b score_b / sum W_b, with W_b the product of w over answer b: what pi's own answers
///                         would score on average
///   sequence_ess_share    ess_share of the W_b, which says what that estimate is worth
/// d is held within +-20 before the exponential. With equal log-probabilities every weight is 1 exactly, and so is the
/// share; nothing that counts: the same.
/// Errors  shape_mismatch.
std::map<std::string, double> importance_weights(const importance_settings& settings, const importance_args& args);

}  // namespace troupe::engine
