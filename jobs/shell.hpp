/// The shell: its words, and commands of others that are asked for a few.
#pragma once

#include <string>
#include <string_view>

namespace troupe {

/// In single quotes, whatever it holds.
std::string shell_quoted(std::string_view text);

/// A word, quoted where it needs to be.
std::string shell_word(std::string_view text);

struct shell_result {
  int status = 0;  ///< 127: there is no such program
  std::string output;
};

/// Runs a command line to its end; stdout and stderr together, without the last newlines: words for people.
/// Errors  io_failure.
shell_result run_shell(const std::string& command);

}  // namespace troupe
