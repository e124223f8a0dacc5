/// Assembly: replay joins what was generated and scored, and makes it experience to learn from.
#pragma once

#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"

#include <cstdint>
#include <string>

namespace troupe::actors {

/// Evaluations leave the phase's state as it is.
enum class assembled_for : uint8_t { training, evaluation };

/// Assembles the rollout that was scored last. `file`: where it is kept, relative to the run; empty: nowhere.
/// Errors  not_finite: a reward is not; the file is written all the same.
task<assemble_reply> assemble(director_context& on, uint64_t iteration, assembled_for purpose, std::string file);

}  // namespace troupe::actors
