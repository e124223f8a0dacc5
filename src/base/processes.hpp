/// What starting a program by posix_spawn and waiting for its end take.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace troupe {

/// The form that exec wants: pointers into `texts`, then null.
std::vector<char*> pointers_to(std::vector<std::string>& texts);

/// Waits until a child of this process has ended, whatever signals come meanwhile. Returns what waitpid gave.
int wait_for(pid_t child);

/// "killed by signal 9 (Killed)", "exit code 3": for messages and the ledger.
std::string describe_exit(int wait_status);

}  // namespace troupe
