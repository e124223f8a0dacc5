/// Evaluations on the held-out split.
#pragma once

#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"

#include <cstdint>

namespace troupe::actors {

/// What a model that learns from examples makes of those held out; nothing where there are none.
task<statistics> evaluate_held_out(director_context& on, cast_part trainee);

/// What the policy answers to held-out prompts of a ppo phase, scored and written to a file of the iteration's.
/// Nothing where the job wants no evaluation or holds no prompts out. After an iteration, which has been learned
/// from, it goes on to its end whatever comes.
/// Errors  stop_requested: only before the first iteration.
task<statistics> evaluate_policy(director_context& on, uint64_t iteration);

}  // namespace troupe::actors
