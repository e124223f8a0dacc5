/// The best evaluation of a phase so far. It is part of the phase's state, so that a run which is resumed knows it.
#pragma once

#include "actors/protocol/messages.hpp"

#include <string>

namespace troupe::actors {

/// The number by which the evaluations of a phase are compared.
struct evaluation_measure {
  std::string metric;  ///< as in metrics.jsonl
  bool lower_is_better = false;
};

/// Whether an evaluation is better than all before it; then the phase's state says so, with its counter. One without
/// that number, or with one that is not finite, is not.
bool note_best(phase_state& state, const evaluation_measure& by, const statistics& evaluated);

/// As before the first evaluation.
void forget_best(phase_state& state);

/// The best evaluation that was noted in the state.
best_so_far best_of(const phase_state& state, const evaluation_measure& by);

}  // namespace troupe::actors
