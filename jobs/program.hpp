/// The program, but for what is set up once in a process.
#pragma once

#include <string_view>

namespace troupe {

/// troupe COMMAND ...: finds the command, runs it and reports on stderr what it throws. Returns the exit status.
/// `build` names the sources that the program was built from, where that is known.
int run_program(int argc, char** argv, std::string_view build = "");

}  // namespace troupe
