#include "jobs/run_to_end.hpp"

#include "actors/hosts/many_tasks.hpp"
#include "actors/supervisor/run.hpp"
#include "base/printable.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/device_choice.hpp"
#include "jobs/log.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

namespace troupe {

void refuse_copies() {
  const auto copies = actors::tasks_of(actors::current_environment());
  if (!copies) {
    return;
  }
  if (copies->place != 0) {
    std::exit(exit_usage);
  }
  throw usage_error("{0} has started {1} of it: start it once, without {0}; it starts its ranks itself, as many as "
                    "place.ranks says (--place.ranks {1})",
                    copies->launcher, copies->tasks);
}

int run_to_end(io::job job, const std::string& command) {
  job.place.device = settled_device(job);
  const auto result = actors::run_job(
      {.job = std::move(job), .program = std::filesystem::read_symlink("/proc/self/exe"), .words = process_console()});
  switch (result.outcome) {
  case actors::outcome::finished:
    return exit_ok;
  case actors::outcome::stopped:
    spdlog::info("stopped; the same command line goes on. {}", result.text);
    return exit_stopped;
  case actors::outcome::failed:
    break;
  }
  process_console()->say(weight::trouble, fmt::format("{}: {}", command, printable(result.text)));
  return exit_failed;
}

}  // namespace troupe
