/// Which ranks have which model.
///
/// In the ppo phase the job may give each model ranks of its own ([place] policy-ranks and so on), so that scoring
/// overlaps with generation, and the critic's updates with the policy's. Everywhere else, and by default, every rank
/// has every model.
#pragma once

#include "io/job/job.hpp"

#include <vector>

namespace troupe::actors {

/// A model's ranks, as one rank sees them.
struct seat {
  std::vector<int> members;  ///< ascending
  int place = -1;            ///< this rank's among them; -1: the model is elsewhere

  bool here() const { return place >= 0; }
  bool first() const { return place == 0; }
  int ranks() const { return static_cast<int>(members.size()); }
};

struct seating {
  seat policy, critic, reference, reward;
};

/// All of `ranks` ranks.
seat everywhere(int rank, int ranks);

/// That of the ppo phase.   `rank` of `ranks`.
seating seating_of(const io::place_section& place, int rank, int ranks);

}  // namespace troupe::actors
