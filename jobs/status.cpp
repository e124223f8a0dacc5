// troupe status RUN [--json]: how a run stands.
#include "base/printable.hpp"
#include "io/run/run_status.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/status_text.hpp"

#include <fmt/format.h>

#include <chrono>

namespace troupe {

namespace po = boost::program_options;

int status_command(int argc, char** argv) {
  po::options_description options("Options");
  options.add_options()("json", "one JSON object on one line");
  po::variables_map values;
  if (!parse_arguments(
          argc, argv,
          "troupe status RUN [options]\n\n"
          "How a run stands: phase, progress, rate and time left, ranks, last checkpoint, failures. RUN is\n"
          "its directory (run.dir), which may be in use: nothing is written.\n",
          options, {"RUN"}, values)) {
    return exit_ok;
  }
  const io::run_status status = io::read_run_status(required_argument(values, "RUN"));
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  fmt::print("{}", values.contains("json") ? status_json(status, now) : printable(status_text(status, now)));
  return exit_ok;
}

}  // namespace troupe
