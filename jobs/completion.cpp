// troupe completion bash|zsh: the script by which a shell completes command lines of this program.
#include "io/job/option_list.hpp"
#include "jobs/arguments.hpp"
#include "jobs/command_help.hpp"
#include "jobs/commands.hpp"
#include "jobs/completion_script.hpp"

#include <fmt/format.h>

namespace troupe {

constexpr const char* usage =
    "troupe completion bash|zsh\n\n"
    "Prints the script by which that shell completes command lines of troupe: commands, their options, --section.key\n"
    "of a job, the words that an option takes, and files. An installed Troupe has both where the shells look for\n"
    "them; without one:\n"
    "  bash   in ~/.bashrc: source <(troupe completion bash)\n"
    "  zsh    in ~/.zshrc, after compinit: source <(troupe completion zsh)\n";

int completion_command(int argc, char** argv) {
  boost::program_options::variables_map values;
  if (!parse_arguments(argc, argv, usage, boost::program_options::options_description("Options"), {"SHELL"}, values)) {
    return exit_ok;
  }
  const std::string shell = required_argument(values, "SHELL");
  if (shell != "bash" && shell != "zsh") {
    throw usage_error("\"{}\": there are scripts for bash and zsh", shell);
  }
  const auto write = shell == "bash" ? bash_completion : zsh_completion;
  fmt::print("{}", write(help_of_commands(), io::list_job_options()));
  return exit_ok;
}

}  // namespace troupe
