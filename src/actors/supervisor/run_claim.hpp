/// How a run directory becomes this process's own.
#pragma once

#include "io/run/run_directory.hpp"

#include <chrono>
#include <functional>
#include <optional>

namespace troupe::actors {

/// Waits for some time; false: waiting is over, a stop is asked for.
using claim_pause = std::function<bool(std::chrono::milliseconds time)>;

/// The run's lock, waited for as long as `patience`, with a line in the log. None: somebody else still had it then, or
/// `pause` said that waiting is over.
///
/// A job that was requeued may find the run locked by its own former supervisor, on a host that has lost its network
/// but not its power. A file system of the network (NFS, Lustre) takes such a lock back when its lease has run out.
/// Errors  io_failure.
std::optional<io::run_lock> claim_run(const io::run_directory& run, std::chrono::milliseconds patience,
                                      const claim_pause& pause);

}  // namespace troupe::actors
