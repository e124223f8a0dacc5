/// The commands of the program. Each takes its own arguments (argv[0] is its name) and returns the
/// exit status.
#pragma once

namespace troupe {

int convert_command(int argc, char** argv);
int inspect_command(int argc, char** argv);
int tokenize_command(int argc, char** argv);

} // namespace troupe
