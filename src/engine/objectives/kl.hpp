/// Estimators of the KL divergence from samples, and the controller of its coefficient.
/// With x = log pi - log pi_ref of a sampled token (nats):
///   k1 = x,  k2 = x^2 / 2,  k3 = exp(-x) - 1 + x;   d/dlogpi:  1,  x,  1 - exp(-x)
///   k3+ has k3's value and k2's derivative.
/// k1 and k3 are unbiased, k2 and k3 never negative. As a term of the loss, over samples of the policy itself, the
/// gradient of k2 (and k3+) is that of KL(pi || pi_ref), k3's is that of KL(pi_ref || pi), and k1's is zero on average:
/// k1 belongs into the reward and cannot hold the policy from the loss.
/// Source  Schulman, "Approximating KL divergence" (2020); Tang and Munos, arXiv:2506.09477.
#pragma once

#include <cstdint>

namespace troupe::engine {

enum class kl_estimator { k1, k2, k3, k3_plus };

double kl_estimate(kl_estimator kind, double log_ratio);
/// What the estimator says is d estimate / d log pi: for all but k3+ it is.
double kl_gradient(kl_estimator kind, double log_ratio);

struct kl_controller_settings {
  double initial = 0.1;  ///< DeepSpeed-Chat's fixed value
  bool adaptive = false;
  double target_nats = 6.0;  ///< per sequence
  double horizon = 10000;    ///< sequences over which a full error doubles or halves, roughly
};

/// What a checkpoint keeps of the controller.
struct kl_controller_state {
  double coefficient = 0.1;
};

/// After an iteration:  coefficient *= 1 + clip(kl / target - 1, -0.2, 0.2) * min(1, sequences / horizon)
/// where it is adaptive.
/// Units   kl_nats: mean per sequence of the summed k1.
/// Errors  not_finite.
/// Source  Ziegler et al., arXiv:1909.08593, section 2.2.
void update_kl_controller(const kl_controller_settings& settings, kl_controller_state& state, double kl_nats,
                          int64_t sequences);

}  // namespace troupe::engine
