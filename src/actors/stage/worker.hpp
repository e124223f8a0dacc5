/// A rank: connects to the supervisor, shows signs of life, and hosts the stage. It ends itself when the supervisor is
/// gone, and then commits nothing.
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
  pid_t supervisor_pid = 0;  ///< where it is this process's parent; 0: another launcher is
  int64_t ranks = 1;         ///< more than 1: mpirun or srun started them
  int64_t threads = 0;       ///< of this rank; 0: all cores
};

/// Ends the process: exit code 0 when the supervisor dismissed it.
/// Errors  bad_argument, lost_peer: before it began.
[[noreturn]] void run_worker(const worker_settings& settings);

}  // namespace troupe::actors
