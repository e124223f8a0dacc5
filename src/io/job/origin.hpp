/// Where a job file's paths start.
#pragma once

#include "io/job/job.hpp"

#include <string>

namespace troupe::io {

/// That of the job file `path`: relative paths start in its folder, run.dir where this process is.
job_origin origin_of(const std::string& path);

}  // namespace troupe::io
