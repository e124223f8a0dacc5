#include "engine/optim/schedule.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe::engine {

namespace {

void check_settings(const schedule_settings& s) {
  const bool numbers_fit =
      s.peak >= 0 && s.warmup_updates >= 0 && s.total_updates >= 0 && s.min_ratio >= 0 && s.min_ratio <= 1;
  if (!numbers_fit) {
    throw error(errc::bad_argument,
                "a learning-rate schedule needs peak ({}), warm-up ({}) and length ({}) of at "
                "least 0 and a minimum ratio ({}) in [0, 1]",
                s.peak, s.warmup_updates, s.total_updates, s.min_ratio);
  }
  if (s.kind != schedule_kind::constant && s.warmup_updates > s.total_updates) {
    throw error(errc::bad_argument,
                "the learning rate would warm up for {} updates, but there are only {}: shorten "
                "the warm-up",
                s.warmup_updates, s.total_updates);
  }
}

/// In [0, 1]: what is left after the warm-up and `progress` of the way down.
double decay(schedule_kind kind, double progress) {
  switch (kind) {
  case schedule_kind::constant:
    return 1.0;
  case schedule_kind::linear:
    return 1.0 - progress;
  case schedule_kind::cosine:
    return 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  }
  throw error(errc::bad_argument, "unknown schedule {}", static_cast<int>(kind));
}

}  // namespace

double learning_rate(const schedule_settings& s, int64_t updates_done) {
  check_settings(s);
  if (updates_done < s.warmup_updates) {
    return s.peak * static_cast<double>(updates_done) / static_cast<double>(s.warmup_updates);
  }
  const auto way = static_cast<double>(std::max<int64_t>(1, s.total_updates - s.warmup_updates));
  const double progress = std::clamp(static_cast<double>(updates_done - s.warmup_updates) / way, 0.0, 1.0);
  return s.peak * (s.min_ratio + (1.0 - s.min_ratio) * decay(s.kind, progress));
}

}  // namespace troupe::engine
