/// Which ranks have which model.
///
/// In the ppo phase the job may give each model ranks of its own ([place] policy-ranks and so on). Scoring then
/// overlaps with generation, and the critic's updates overlap with the policy's. In other phases, and by default,
/// every rank has every model.
#pragma once

#include "io/job/job.hpp"

#include <vector>

namespace troupe::actors {

/// The ranks of a model, as one of the job's ranks sees them.
struct seat {
  std::vector<int> members;  ///< ranks of the job, ascending
  int place = -1;            ///< of this rank in `members`; -1: it does not have the model

  bool here() const { return place >= 0; }
  bool first() const { return place == 0; }
  int ranks() const { return static_cast<int>(members.size()); }
};

/// The seats of the models of the ppo phase.
struct seating {
  seat policy, critic, reference, reward;
};

/// A model that all of `ranks` ranks have, as `rank` sees it.
seat everywhere(int rank, int ranks);

/// The ppo phase's, as the job places its models, and as `rank` of `ranks` sees them.
seating seating_of(const io::place_section& place, int rank, int ranks);

}  // namespace troupe::actors
