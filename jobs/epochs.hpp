/// From epochs to updates, before anything runs.
#pragma once

#include "io/job/job.hpp"
#include "jobs/job_plan.hpp"

#include <vector>

namespace troupe {

/// Fills in the number of updates of phases that go by epochs, from the number of their records. These are not
/// tokenised, so that those count too which a run will drop for their length. Where data are not here, or the run is
/// still to make them, the number stays 0.
/// Errors  those for which a run would be refused, too many records that cannot be used among them.
void count_epochs(const io::job& job, std::vector<phase_plan>& plans);

}  // namespace troupe
