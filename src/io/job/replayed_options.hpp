/// Which options of a run may have other values when its experience is replayed.
#pragma once

#include "io/job/job.hpp"

#include <string>
#include <vector>

namespace troupe::io {

/// An option with two values.
struct option_change {
  std::string name;            ///< "ppo.kl-coef"
  std::string before, now;     ///< as a job file has them
  bool needs_samples = false;  ///< stored rollouts cannot show what it would do: they were sampled with `before`
};

/// The options that influence the numbers of a ppo phase and differ, [replay] apart. `live`: the run's job as a replay
/// starts from it (replay_of in io/run/replayed_run.hpp).
std::vector<option_change> replay_changes(const job& live, const job& replay);

}  // namespace troupe::io
