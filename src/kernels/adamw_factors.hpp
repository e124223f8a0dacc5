/// What of an AdamW update (optimizer.hpp) does not depend on the element.
#pragma once

#include "kernels/optimizer.hpp"

#include <cmath>

namespace troupe::kernels {

struct adamw_factors {
  float gradient_scale, beta1, beta2, one_minus_beta1, one_minus_beta2;
  float keep;        ///< 1 - lr wd
  float step_size;   ///< lr / (1 - b1^t)
  float root_scale;  ///< 1 / sqrt(1 - b2^t)
  float epsilon;
};

/// Computed in double, on the host, for all back ends: they give the same bits.
inline adamw_factors factors_of(const adamw_args& args) {
  const auto t = static_cast<double>(args.step);
  const double beta1 = args.beta1;
  const double beta2 = args.beta2;
  const double rate = args.learning_rate;
  return {.gradient_scale = args.gradient_scale,
          .beta1 = args.beta1,
          .beta2 = args.beta2,
          .one_minus_beta1 = static_cast<float>(1.0 - beta1),
          .one_minus_beta2 = static_cast<float>(1.0 - beta2),
          .keep = static_cast<float>(1.0 - rate * static_cast<double>(args.weight_decay)),
          .step_size = static_cast<float>(rate / (1.0 - std::pow(beta1, t))),
          .root_scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, t))),
          .epsilon = args.epsilon};
}

}  // namespace troupe::kernels
