/// How a run stands, for the terminal and for programs.
#pragma once

#include "io/run/run_status.hpp"
#include "jobs/slurm_queue.hpp"

#include <string>

namespace troupe {

/// A line for each thing that is known, and one for each of the last failures. `now`: seconds since 1970; `queue`: what
/// is known of status.slurm_job.
std::string status_text(const io::run_status& status, double now, const queued_job& queue = {});

/// The same as one JSON object on one line; what is not known is null.
std::string status_json(const io::run_status& status, double now, const queued_job& queue = {});

}  // namespace troupe
