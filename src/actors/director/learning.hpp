/// Learning from assembled experience: the epochs and minibatches of an iteration, whichever way the experience came.
#pragma once

#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"

#include <cstdint>

namespace troupe::actors {

/// Policy and critic learn from what replay has assembled for this iteration; the critic alone in the first iterations,
/// where the job says so. Ends early when an update has taken the policy too far (ppo.target-kl): that one is dropped.
/// Returns the statistics of all updates.
/// Errors  not_finite: gradients are not; the model is as before that update.
task<statistics> learn(director_context& on, uint64_t iteration);

}  // namespace troupe::actors
