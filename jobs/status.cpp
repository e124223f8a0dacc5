// troupe status RUN [--json] [--watch]: how a run stands.
#include "base/console.hpp"
#include "base/printable.hpp"
#include "io/run/run_status.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/status_text.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

namespace troupe {

namespace po = boost::program_options;

static io::run_status print_status(const std::string& run, bool as_json) {
  io::run_status status = io::read_run_status(run);
  const queued_job queue = status.slurm_job.empty() ? queued_job{} : ask_queue(status.slurm_job);
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  fmt::print("{}", as_json ? status_json(status, now, queue) : printable(status_text(status, now, queue)));
  std::fflush(stdout);
  return status;
}

static bool has_ended(const io::run_status& status) {
  return status.state == io::run_state::finished || status.state == io::run_state::failed;
}

/// Again and again until the run has ended: on a terminal in the same place, else one below the other.
static void watch(const std::string& run, bool as_json, std::chrono::seconds every) {
  constexpr const char* clear_screen = "\033[H\033[J";
  const bool in_place = !as_json && is_terminal(STDOUT_FILENO);
  for (;;) {
    fmt::print("{}", in_place ? clear_screen : "");
    if (has_ended(print_status(run, as_json))) {
      return;
    }
    std::this_thread::sleep_for(every);
    fmt::print("{}", in_place || as_json ? "" : "\n");
  }
}

int status_command(int argc, char** argv) {
  po::options_description options("Options");
  int64_t every = 0;
  options.add_options()("json", "one JSON object on one line")(
      "watch", po::value(&every)->implicit_value(5)->value_name("SECONDS"),
      "again every 5 seconds, or --watch=SECONDS, until the run is finished or has failed");
  po::variables_map values;
  if (!parse_arguments(
          argc, argv,
          "troupe status RUN [options]\n\n"
          "How a run stands: phase, progress, rate and time left, ranks, last checkpoint, failures; the number of its\n"
          "Slurm job, and what the queue says of it. RUN is its directory (run.dir), which may be in use: nothing is\n"
          "written.\n",
          options, {"RUN"}, values)) {
    return exit_ok;
  }
  const std::string run = required_argument(values, "RUN");
  const bool as_json = values.contains("json");
  if (!values.contains("watch")) {
    print_status(run, as_json);
    return exit_ok;
  }
  if (every < 1) {
    throw usage_error("--watch={}: a number of seconds above 0", every);
  }
  watch(run, as_json, std::chrono::seconds(every));
  return exit_ok;
}

}  // namespace troupe
