/// Rollouts: answers are generated, handed to those who score them, and scored; at the same time as far as the job has
/// placed the models on ranks of their own.
#pragma once

#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"

#include <cstdint>

namespace troupe::actors {

/// Whether a stop request may end a rollout in the middle.
enum class on_stop : uint8_t { drop, go_on };

/// Answers a batch of prompts and has the answers scored; then replay can assemble them. Returns times and rates;
/// nothing where there are no prompts.
/// Errors  stop_requested: the rollout was dropped, and can be done again, to the same tokens.
task<statistics> roll_out(director_context& on, serving prompts, uint64_t draw, on_stop stop = on_stop::drop);

}  // namespace troupe::actors
