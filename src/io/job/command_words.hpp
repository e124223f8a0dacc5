/// A command as a job file has it: a program and its arguments.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// The words of a command. They stand apart by blanks; what stands in single quotes belongs to one word, blanks and
/// all. Nothing else has a meaning: no variable, wildcard, pipe or escape.
/// Errors  bad_argument: a quote that does not end.
std::vector<std::string> command_words(std::string_view command);

/// Where a program is: a path (of a relative one, from `folder`), or a name that PATH has. Empty: nowhere, or it may
/// not be run.
std::filesystem::path find_program(const std::string& program, const std::filesystem::path& folder);

}  // namespace troupe::io
