/// A rank: connects to the supervisor, shows signs of life, and hosts the stage. When the supervisor is gone, it ends
/// itself and commits nothing.
#pragma once

#include "io/job/job.hpp"

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe::actors {

struct worker_settings {
  io::job job;
  std::filesystem::path run;  ///< the run directory
  std::string host;           ///< where the supervisor listens
  std::string node;           ///< its host's own name
  uint16_t port = 0;
  uint64_t attempt = 0;
  pid_t supervisor_pid = 0;  ///< if it is this process's parent; 0: the parent is mpirun or srun
  int64_t ranks = 1;         ///< more than 1: mpirun or srun started them
  int64_t threads = 0;       ///< of this rank; 0: all cores
};

/// Runs a rank, and ends the process with it: exit code 0 when the supervisor dismissed it.
/// Errors  bad_argument, lost_peer: it could not begin.
[[noreturn]] void run_worker(const worker_settings& settings);

}  // namespace troupe::actors
