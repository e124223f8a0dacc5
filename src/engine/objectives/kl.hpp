/// Estimators of the KL divergence from samples (kernels/token_loss.hpp), and the controller of its coefficient.
#pragma once

#include "kernels/token_loss.hpp"

#include <cstdint>

namespace troupe::engine {

using kernels::kl_estimate;
using kernels::kl_estimator;
using kernels::kl_gradient;

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
