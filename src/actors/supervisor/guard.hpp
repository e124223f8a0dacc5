/// The guard of a host: a small process on each node of a job but the first. If the first node dies, the batch script
/// and the supervisor die with it, and Slurm leaves the job running on the others for ever (--no-kill): only a process
/// on one of these can put it back into the queue. Ranks come and go with attempts; guards stay.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe::actors {

struct guard_settings {
  std::filesystem::path run;  ///< the run directory
  std::string host;           ///< where the supervisor listens
  std::string node;           ///< the batch host's own name, by which Slurm's daemon there is asked
  uint16_t port = 0;          ///< of the supervisor; 0: it is known to be gone
};

/// Waits until the supervisor is gone. If its host then does not answer either, asks Slurm to requeue the job. One
/// guard after another does, in the order of SLURM_PROCID, since the first that succeeds ends the rest. Returns when
/// there is nothing left to guard: the host is alive and the supervisor not, or there is no Slurm job.
/// Errors  io_failure: no credentials in the run directory.
void run_guard(const guard_settings& settings);

}  // namespace troupe::actors
