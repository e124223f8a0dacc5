/// The job of a command line, with everything checked that can be known before it starts.
#pragma once

#include "io/job/job.hpp"

#include <span>
#include <string>

namespace troupe {

/// Which of the files that the job names must be here.
enum class needed_files { all, but_weights, configs };

/// Reads the job file `arguments[0]` with the options behind it, recognises the formats of its data (and says so on
/// stderr), and holds it against its models.
/// Errors  usage_error: the job is wrong, or does not fit its models: names everything that is wrong with it.
io::job checked_job(std::span<const std::string> arguments, needed_files files);

}  // namespace troupe
