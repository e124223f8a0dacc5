/// A rank: connects to the supervisor, shows signs of life, and hosts the stage. It ends itself when the supervisor is
/// gone, and then commits nothing.
#pragma once

#include "io/job.hpp"

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe::actors {

struct worker_settings {
  io::job job;
  std::filesystem::path run;  ///< the run directory
  std::string host;           ///< of the supervisor
  uint16_t port = 0;
  uint64_t attempt = 0;
  pid_t supervisor_pid = 0;  ///< on this host; 0: elsewhere
};

/// Returns the process's exit code: 0 when the supervisor dismissed it.
int run_worker(const worker_settings& settings);

}  // namespace troupe::actors
