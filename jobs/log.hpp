/// The program's words on the terminal. Results go to stdout, everything else to stderr.
#pragma once

namespace troupe {

/// Lines of the log: time, level and text, in which control sequences of others (file names, errors that quote a file)
/// stand as something to read.
void set_up_log();

}  // namespace troupe
