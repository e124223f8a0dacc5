/// A job file read for its rewards alone: what is to judge answers that are there already.
#pragma once

#include "io/job/job.hpp"

#include <string>

namespace troupe::io {

/// The job in a file, of which [rewards.*] hold what they must, and the files that they name are there; without any
/// such section there is its reward model. All else must be readable, but may be missing or not fit together: a file
/// with [rewards.*] alone will do.
/// Errors  not_found (the file); bad_argument, with every problem on a line of its own.
job rewards_of_job(const std::string& path);

}  // namespace troupe::io
