#include "actors/director/best.hpp"

#include <cmath>

namespace troupe::actors {

static constexpr const char* best_counter_key = "best_counter";
static constexpr const char* best_value_key = "best_value";

bool note_best(phase_state& state, const evaluation_measure& by, const statistics& evaluated) {
  const auto found = evaluated.find(by.metric);
  if (found == evaluated.end() || !std::isfinite(found->second)) {
    return false;
  }
  const double value = found->second;
  const auto before = state.values.find(best_value_key);
  if (before != state.values.end() && (by.lower_is_better ? value >= before->second : value <= before->second)) {
    return false;
  }
  state.values[best_counter_key] = static_cast<double>(state.counter);
  state.values[best_value_key] = value;
  return true;
}

void forget_best(phase_state& state) {
  state.values.erase(best_counter_key);
  state.values.erase(best_value_key);
}

best_so_far best_of(const phase_state& state, const evaluation_measure& by) {
  if (!state.values.contains(best_counter_key)) {
    return {};
  }
  return {.counter = static_cast<int64_t>(statistic(state.values, best_counter_key)),
          .metric = by.metric,
          .value = statistic(state.values, best_value_key)};
}

}  // namespace troupe::actors
