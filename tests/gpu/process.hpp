/// Programs that are run for what they print, for a limited time.
#pragma once

#include <string>
#include <vector>

namespace troupe::gpu_check {

struct ended_process {
  std::string output;   ///< its standard output
  bool in_time = true;  ///< false: its time was over, and it was killed with all that it had started
  bool gone = true;     ///< false: killed, not all of them have ended: a driver may hold what waits for a kernel
  int status = -1;      ///< its exit status; -1: it was killed, or cannot be started
};

/// `command`: the path of a program, and its arguments. One at a time: what is killed at the limit is all that this
/// process has started, in whatever process group it is.
ended_process run_process(const std::vector<std::string>& command, int limit_seconds);

/// In words what became of one that was not done in its time.
std::string why_late(const ended_process& ended);

/// The path of this program.
std::string this_program();

}  // namespace troupe::gpu_check
