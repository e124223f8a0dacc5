/// Scripts by which shells complete a command line of this program: commands, their options, `--section.key` of a job,
/// the words that an option takes, and files.
#pragma once

#include "io/job/option_list.hpp"
#include "jobs/command_help.hpp"

#include <span>
#include <string>

namespace troupe {

/// For bash 4.4 or newer. Sections that take any name (`--data.NAME.path`) are completed with the names that the job
/// file of the line has.
std::string bash_completion(std::span<const command_help> commands, std::span<const io::listed_option> job);

/// For zsh: a file of its $fpath, or to be sourced after compinit. Says what each option does.
std::string zsh_completion(std::span<const command_help> commands, std::span<const io::listed_option> job);

}  // namespace troupe
