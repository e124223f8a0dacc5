/// The program, but for what is set up once in a process.
#pragma once

namespace troupe {

/// troupe COMMAND ...: finds the command, runs it and reports on stderr what it throws. Returns the exit status.
int run_program(int argc, char** argv);

}  // namespace troupe
