/// The way back from an iteration that diverged: to a checkpoint from before it went wrong, with half the learning
/// rates.
#pragma once

#include "actors/director/checkpointing.hpp"
#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"

#include <cstdint>
#include <string>

namespace troupe::actors {

/// Sets the stage anew and restores the checkpoint to go on from, or the start of the phase.
/// Errors  not_finite, with `reason`: there have been ppo.max-rollbacks already, or nothing is left to go back to.
task<> roll_back(director_context& on, checkpointing& checkpoints, std::string reason, uint64_t iteration);

}  // namespace troupe::actors
