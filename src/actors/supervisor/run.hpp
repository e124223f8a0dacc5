/// A whole run: the supervisor's process.
#pragma once

#include "actors/supervisor/supervisor.hpp"
#include "base/console.hpp"
#include "io/job/job.hpp"

#include <filesystem>

namespace troupe::actors {

struct run_settings {
  io::job job;
  std::filesystem::path program;  ///< this executable, for the workers
  console_ptr words;              ///< what it says goes there
};

/// Runs what is left of the job's phases in its run directory, restarting workers as need be, until it is finished,
/// stopped by a signal, or has failed. Call it before any other thread exists (stop_signals.hpp).
/// Errors  bad_argument: another supervisor has the run, or the folder holds a run of another job (says what
/// differs); io_failure.
run_result run_job(const run_settings& settings);

}  // namespace troupe::actors
