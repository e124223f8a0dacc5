/// Losses that are sums over tokens of a function of the token's log-probability and entropy, as data: log_prob_train
/// (log_prob.hpp) is given one, so that nobody has to be called between its forward and its backward. Each formula
/// stands here once, in functions that throw nothing and allocate nothing: a device compiler can read this header too.
///
/// policy          PPO:  ratio = exp(logprob - logprob_old)
///                 loss = weight [ max(-A ratio, -A clip(ratio, 1 - clip_low, 1 + clip_high))
///                                 + kl_coefficient [ratio] k(logprob - logprob_ref) - entropy_coefficient entropy ]
///                 [ratio] is a weight without a gradient: it makes the KL term of samples that an older policy has
///                 drawn that of the policy's own (it is 1 before the first update of an iteration).
///                 Source  Schulman et al., arXiv:1707.06347.
/// language_model  loss = - coefficient / tokens * weight * logprob
///
/// Estimators of the KL divergence from samples, with x = log pi - log pi_ref of a sampled token (nats):
///   k1 = x,  k2 = x^2 / 2,  k3 = exp(-x) - 1 + x;   d/dlogpi:  1,  x,  1 - exp(-x)
///   k3+ has k3's value and k2's derivative.
/// k1 and k3 are unbiased, k2 and k3 never negative. As a term of the loss, over samples of the policy itself, the
/// gradient of k2 (and k3+) is that of KL(pi || pi_ref), k3's is that of KL(pi_ref || pi), and k1's is zero on average:
/// k1 belongs into the reward and cannot hold the policy from the loss.
/// Source  Schulman, "Approximating KL divergence" (2020); Tang and Munos, arXiv:2506.09477.
#pragma once

#include "base/host_device.hpp"

#include <cmath>
#include <cstdint>

namespace troupe::kernels {

enum class kl_estimator { k1, k2, k3, k3_plus };

TROUPE_HD inline double kl_estimate(kl_estimator kind, double log_ratio) {
  switch (kind) {
  case kl_estimator::k1:
    return log_ratio;
  case kl_estimator::k2:
    return 0.5 * log_ratio * log_ratio;
  case kl_estimator::k3:
  case kl_estimator::k3_plus:
    return std::expm1(-log_ratio) + log_ratio;
  }
  return NAN;
}

/// What the estimator says is d estimate / d log pi: for all but k3+ it is.
TROUPE_HD inline double kl_gradient(kl_estimator kind, double log_ratio) {
  switch (kind) {
  case kl_estimator::k1:
    return 1.0;
  case kl_estimator::k2:
  case kl_estimator::k3_plus:
    return log_ratio;
  case kl_estimator::k3:
    return -std::expm1(-log_ratio);
  }
  return NAN;
}

struct policy_settings {
  double clip_low = 0.2, clip_high = 0.2;  ///< DeepSpeed-Chat's values
  double entropy_coefficient = 0;
  double kl_coefficient = 0;                       ///< KL as a term of the loss
  kl_estimator estimator = kl_estimator::k3_plus;  ///< of that term; k1 has no gradient on average
};

struct lm_scale {
  double tokens = 0;  ///< global count of predicted tokens; > 0 where there are any
  double coefficient = 1;
};

/// What the loss of one token comes to. All 0 where a policy's token does not count (weight 0); without a gradient
/// where a part of the loss is not finite.
struct token_terms {
  double loss = 0;                   ///< without the weight; language_model: -logprob
  double surrogate_loss = 0;         ///< policy: the first term of it
  double ratio = 0;                  ///< policy
  float dlogprob = 0, dentropy = 0;  ///< of the weighted loss
};

enum class loss_kind : uint8_t { language_model, policy };

/// A loss and what it has to know of N tokens.
struct token_loss {
  loss_kind kind = loss_kind::language_model;
  lm_scale lm;
  policy_settings policy;
  const float* logprob_old_N = nullptr;  ///< policy
  const float* advantage_N = nullptr;    ///< policy
  const float* logprob_ref_N = nullptr;  ///< policy; null only where kl_coefficient is 0
  const double* weight_N = nullptr;      ///< null: all are 1; not null for a policy
  token_terms* terms_N = nullptr;        ///< written
};

/// The clipped surrogate of one token and its derivative by the log-probability.
struct surrogate {
  double loss = 0, slope = 0;
};

TROUPE_HD inline surrogate clipped_surrogate(const policy_settings& settings, double ratio, double advantage) {
  const double low = 1.0 - settings.clip_low, high = 1.0 + settings.clip_high;
  const double clipped = ratio < low ? low : ratio > high ? high : ratio;
  const double plain_loss = -advantage * ratio;
  const double clipped_loss = -advantage * clipped;
  // Where clipping decides, the ratio is outside of the range and the loss does not depend on it.
  return plain_loss >= clipped_loss ? surrogate{plain_loss, plain_loss} : surrogate{clipped_loss, 0.0};
}

TROUPE_HD inline token_terms policy_terms(const token_loss& loss, int64_t n, float logprob, float entropy) {
  const policy_settings& settings = loss.policy;
  const double weight = loss.weight_N[n];
  token_terms terms;
  if (weight == 0) {
    return terms;
  }
  const double advantage = loss.advantage_N[n];
  terms.ratio = std::exp(static_cast<double>(logprob) - loss.logprob_old_N[n]);
  const surrogate first = clipped_surrogate(settings, terms.ratio, advantage);
  double slope = first.slope;
  terms.surrogate_loss = first.loss;
  terms.loss = first.loss - settings.entropy_coefficient * entropy;
  if (loss.logprob_ref_N != nullptr) {
    const double x = static_cast<double>(logprob) - loss.logprob_ref_N[n];
    const double weight_of_kl = settings.kl_coefficient * terms.ratio;
    terms.loss += weight_of_kl * kl_estimate(settings.estimator, x);
    slope += weight_of_kl * kl_gradient(settings.estimator, x);
  }
  if (std::isfinite(terms.ratio) && std::isfinite(advantage) && std::isfinite(terms.loss)) {
    terms.dlogprob = static_cast<float>(weight * slope);
    terms.dentropy = static_cast<float>(-weight * settings.entropy_coefficient);
  }
  return terms;
}

TROUPE_HD inline token_terms lm_terms(const token_loss& loss, int64_t n, float logprob) {
  token_terms terms;
  terms.loss = -logprob;
  const double weight = loss.weight_N == nullptr ? 1.0 : loss.weight_N[n];
  const double slope = -(loss.lm.coefficient / loss.lm.tokens) * weight;
  if (std::isfinite(terms.loss) && std::isfinite(slope)) {
    terms.dlogprob = static_cast<float>(slope);
  }
  return terms;
}

/// Of token n of the loss.
TROUPE_HD inline token_terms terms_of(const token_loss& loss, int64_t n, float logprob, float entropy) {
  switch (loss.kind) {
  case loss_kind::language_model:
    return lm_terms(loss, n, logprob);
  case loss_kind::policy:
    return policy_terms(loss, n, logprob, entropy);
  }
  return {};
}

}  // namespace troupe::kernels
