/// The turns of a rollout: what each group of ranks that generate together is to do next.
#pragma once

#include "actors/protocol/messages.hpp"

#include <cstdint>
#include <vector>

namespace troupe::actors {

/// Decode steps in one command: a stop request, and scorers on other ranks, need not wait for the whole rollout.
inline constexpr int64_t steps_per_command = 16;

/// The next command for each group, by what it last answered: a few decode steps; and half of the prompts that have
/// not been begun move from the group with the most of them to one that has run out of work.
std::vector<generate_command> next_turn(uint64_t batch_id, const std::vector<generate_reply>& last);

}  // namespace troupe::actors
