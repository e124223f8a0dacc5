// troupe worker: a rank, started by the supervisor.
#include "actors/stage/worker.hpp"

#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"

namespace troupe {

namespace po = boost::program_options;

int worker_command(int argc, char** argv) {
  actors::worker_settings settings;
  std::string run;
  po::options_description options("Options");
  options.add_options()("run", po::value(&run)->required(), "the run directory")(
      "host", po::value(&settings.host)->required(),
      "where the supervisor listens")("node", po::value(&settings.node)->required(), "its host's own name")(
      "port", po::value(&settings.port)->required(), "")("attempt", po::value(&settings.attempt)->required(), "")(
      "supervisor-pid", po::value(&settings.supervisor_pid)->default_value(0),
      "the supervisor's process, where it is the parent")("ranks", po::value(&settings.ranks)->default_value(1),
                                                          "how many were started")(
      "threads", po::value(&settings.threads)->default_value(0), "of this rank; 0: all cores");
  po::variables_map values;
  if (!parse_arguments(argc, argv, "troupe worker: started by troupe run, not by users.\n", options, {}, values)) {
    return exit_ok;
  }
  settings.run = run;
  settings.job = io::load_job(io::run_directory::open(run).job().string());
  actors::run_worker(settings);
}

}  // namespace troupe
