// troupe manual: the manual page.
#include "jobs/arguments.hpp"
#include "jobs/command_help.hpp"
#include "jobs/commands.hpp"
#include "jobs/manual_page.hpp"

#include <fmt/format.h>

namespace troupe {

constexpr const char* usage =
    "troupe manual\n\n"
    "Prints the manual page, made of what each command says with --help: troupe manual | man -l -\n";

int manual_command(int argc, char** argv) {
  boost::program_options::variables_map values;
  if (!parse_arguments(argc, argv, usage, boost::program_options::options_description("Options"), {}, values)) {
    return exit_ok;
  }
  fmt::print("{}", manual_page(help_of_commands()));
  return exit_ok;
}

}  // namespace troupe
