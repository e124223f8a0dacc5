/// Learning rates.
#pragma once

#include <cstdint>

namespace troupe::engine {

enum class schedule_kind { constant, linear, cosine };

struct schedule_settings {
  schedule_kind kind = schedule_kind::cosine;
  double peak = 1e-5;  ///< the learning rate itself
  int64_t warmup_updates = 0;
  int64_t total_updates = 0;  ///< where linear and cosine end; they stay at the minimum after it
  double min_ratio = 0;       ///< the minimum is min_ratio * peak
};

/// Rate of the update that follows `updates_done` earlier ones. Warm-up: peak * updates_done /
/// warmup_updates, as in transformers (so the very first rate is 0). Then, with p = progress from
/// the end of the warm-up to total_updates: constant: peak;  linear: 1 - p;  cosine: (1 + cos(pi
/// p)) / 2,  scaled to [min_ratio, 1] * peak.
/// Errors  bad_argument: a negative number, min_ratio above 1, a warm-up longer than the whole.
double learning_rate(const schedule_settings& settings, int64_t updates_done);

}  // namespace troupe::engine
