/// Scorers of a rollout: having them score, and which may at the same time, since they share no rank.
#pragma once

#include "actors/director/context.hpp"
#include "actors/protocol/task.hpp"

#include <string>
#include <vector>

namespace troupe::actors {

/// A part of the cast that scores sequences, and its name in metrics.
struct scoring_part {
  cast_part part = nullptr;
  std::string name;
};

/// Parts that share ranks, and so score one after the other.
using scoring_group = std::vector<scoring_part>;

/// All scorers that the company has, each in one group. No two groups share a rank.
std::vector<scoring_group> scoring_groups(const company& of);

/// Whether a group shares ranks with the policy, and so cannot score while it generates.
bool waits_for_policy(const company& of, const scoring_group& group);

/// Scores what waits at one of the scorers: tokens of all ranks, seconds of the slowest.
task<score_reply> score_waiting(director_context& on, cast_part scorer);

/// Adds the time and the rate of what was scored under that name.
void add_scoring(statistics& to, const std::string& name, const score_reply& scored);

}  // namespace troupe::actors
