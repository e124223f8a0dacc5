/// What each command says of itself with --help, taken apart: shell completion and the manual page are made from it, so
/// that they know what the help knows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace troupe {

struct option_help {
  std::string name;   ///< "--dtype"
  std::string value;  ///< as the help calls it: "N", "FILE", "f32|bf16|f16"; empty: it takes none
  std::string text;   ///< the first line of what it does; may be empty
};

struct command_help {
  std::string name;
  std::string summary;                 ///< one line, as `troupe --help` has it
  std::string text;                    ///< all that --help prints
  std::vector<std::string> arguments;  ///< those without "--", in their order: "DIR"
  std::vector<option_help> options;    ///< of its own, in the order of the help
  bool job_options = false;            ///< it takes those of a job file too
};

/// Reads what --help prints. Its first line says how to call the command: capitals, and words with "|" between them,
/// are arguments; options may be there that are explained in the text alone; `[--section.key value ...]` stands for
/// those of a job. A line of an option begins with two spaces and "--name VALUE" or "--name".
command_help read_help(std::string_view name, std::string_view summary, std::string text);

/// Of all commands that are for users. Runs this program once for each.
/// Errors  io_failure: it cannot be run.
std::vector<command_help> help_of_commands();

}  // namespace troupe
