/// The program's words on the terminal. Results go to stdout, everything else to stderr.
#pragma once

#include "base/console.hpp"

namespace troupe {

/// Lines of the log: time, level and text, in which control sequences of others (file names, errors that quote a file)
/// stand as something to read. Colours only on a terminal, and not under NO_COLOR.
void set_up_log();

/// What the log's lines go through: the process's standard error.
const console_ptr& process_console();

/// From now on whatever ends this process by an exception that nobody catches, in any thread, is told in one line, and
/// the exit status is that of a failure. `name`, which stays: "troupe run".
void tell_last_exception(const char* name);

}  // namespace troupe
