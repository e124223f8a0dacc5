#include "engine/objectives/kl.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::engine {

void update_kl_controller(const kl_controller_settings& settings, kl_controller_state& state, double kl_nats,
                          int64_t sequences) {
  if (!settings.adaptive) {
    return;
  }
  if (!std::isfinite(kl_nats)) {
    throw error(errc::not_finite, "the mean KL per sequence is {}: the policy has diverged", kl_nats);
  }
  if (!(settings.target_nats > 0) || !(settings.horizon > 0)) {
    throw error(errc::bad_argument, "the adaptive KL controller needs a target and a horizon above 0, not {} and {}",
                settings.target_nats, settings.horizon);
  }
  const double miss = std::clamp(kl_nats / settings.target_nats - 1.0, -0.2, 0.2);
  state.coefficient *= 1.0 + miss * std::min(1.0, static_cast<double>(sequences) / settings.horizon);
}

}  // namespace troupe::engine
