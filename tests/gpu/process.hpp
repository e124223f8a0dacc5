/// Programs that are run for what they print, for a limited time.
#pragma once

#include <string>
#include <vector>

namespace troupe::gpu_check {

struct ended_process {
  std::string output;   ///< its standard output
  bool in_time = true;  ///< false: its time was over, and it was killed with all that it had started
  int status = -1;      ///< its exit status; -1: it was killed, or cannot be started
};

/// `command`: the path of a program, and its arguments.
ended_process run_process(const std::vector<std::string>& command, int limit_seconds);

/// The path of this program.
std::string this_program();

}  // namespace troupe::gpu_check
