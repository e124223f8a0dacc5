/// What commands that run a job have in common.
#pragma once

#include "io/job/job.hpp"

#include <string>

namespace troupe {

/// Refuses to be one of many copies that a launcher has started: a run starts its ranks itself. Only one of them says
/// so, the others end.
/// Errors  usage_error.
void refuse_copies();

/// Runs all that is left of a job, and says how that ended where it did not finish. `command`: "troupe run". Returns
/// the exit status.
/// Errors  those of settled_device.
int run_to_end(io::job job, const std::string& command);

}  // namespace troupe
