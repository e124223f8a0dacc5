/// Which scorers of a rollout may work at the same time: those that share no rank.
#pragma once

#include "actors/director/company.hpp"

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

}  // namespace troupe::actors
