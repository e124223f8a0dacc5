// troupe inspect PATH [--json]: what a model folder, checkpoint, experience file or run holds.
#include "io/inspect/inspect.hpp"

#include "base/printable.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"

#include <iostream>
#include <string>

namespace troupe {

namespace po = boost::program_options;

int inspect_command(int argc, char** argv) {
  po::options_description options("Options");
  options.add_options()("json", "one JSON object on one line");
  po::variables_map values;
  if (!parse_arguments(
          argc, argv,
          "troupe inspect PATH [options]\n\n"
          "Describes a model folder, a checkpoint, an experience file or a run. Checkpoints and experience\n"
          "are verified against their digests first.\n",
          options, {"PATH"}, values)) {
    return exit_ok;
  }
  const bool as_json = values.contains("json");
  const std::string text = io::inspect_path(required_argument(values, "PATH"), as_json);
  std::cout << (as_json ? text : printable(text));  // names within the file are others' words
  return exit_ok;
}

}  // namespace troupe
