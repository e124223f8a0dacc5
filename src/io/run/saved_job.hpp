/// The job that a run directory is of.
#pragma once

#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

namespace troupe::io {

/// As its supervisor has last started it. Looks at nothing that the job names: models and data may have gone, or moved.
/// Errors  not_found: the supervisor has not written it yet; io_failure, bad_argument.
job saved_job(const run_directory& run);

}  // namespace troupe::io
