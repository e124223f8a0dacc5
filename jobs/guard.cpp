// troupe guard: watches over the batch host of a job on several nodes; started by the supervisor.
#include "actors/supervisor/guard.hpp"

#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"

namespace troupe {

namespace po = boost::program_options;

int guard_command(int argc, char** argv) {
  actors::guard_settings settings;
  std::string run;
  po::options_description options("Options");
  options.add_options()("run", po::value(&run)->required(), "the run directory")(
      "host", po::value(&settings.host)->required(),
      "where the supervisor listens")("node", po::value(&settings.node)->required(), "its host's own name")(
      "port", po::value(&settings.port)->default_value(0), "0: the supervisor is known to be gone");
  po::variables_map values;
  if (!parse_arguments(argc, argv, "troupe guard: started by troupe run, not by users.\n", options, {}, values)) {
    return exit_ok;
  }
  settings.run = run;
  actors::run_guard(settings);
  return exit_ok;
}

}  // namespace troupe
