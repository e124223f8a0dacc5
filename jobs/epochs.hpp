/// From epochs to updates, before anything runs.
#pragma once

#include "io/job/job.hpp"
#include "jobs/job_plan.hpp"

#include <vector>

namespace troupe {

/// Fills in the count of phases that go by epochs, from their data. Records are read, but not tokenised: those that a
/// run drops for their length count too. Where data are not here, or are to be made by the run, the count stays 0.
void count_epochs(const io::job& job, std::vector<phase_plan>& plans);

}  // namespace troupe
