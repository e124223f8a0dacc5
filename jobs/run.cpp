// troupe run JOB.ini [--section.key value ...]: everything that is left of a job.
#include "actors/supervisor/run.hpp"

#include "base/printable.hpp"
#include "io/job/job.hpp"
#include "jobs/arguments.hpp"
#include "jobs/checked_job.hpp"
#include "jobs/commands.hpp"
#include "jobs/report.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

namespace troupe {

constexpr const char* usage =
    "troupe run JOB.ini [--section.key value ...]\n\n"
    "Runs the phases of a job, one after another, skipping those that are finished. Stopped by SIGTERM, SIGINT,\n"
    "SIGUSR1 or SIGHUP it saves its state first; stopped by anything else it goes on from its last checkpoint. In\n"
    "both cases the same command line resumes it. A second Ctrl-C says what is being waited for, a third ends at\n"
    "once.\n\n"
    "Exit status: 0 finished; 1 failed; 2 wrong usage or job file; 75 stopped on request, to be run again.\n\n";

/// Nobody may be there any more to read it, which does not make a finished run a failed one.
static void report(const io::job& job) {
  try {
    fmt::print("{}", printable(report_text(io::run_directory::open(job.run.dir), job)));
  } catch (const std::system_error& failure) {
    spdlog::warn("the report cannot be printed: {}", failure.what());
  }
}

int run_command(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    std::fprintf(arguments.empty() ? stderr : stdout, "%s%s", usage, io::job_help().c_str());
    return arguments.empty() ? exit_usage : exit_ok;
  }
  const io::job job = checked_job(arguments, needed_files::all);
  const auto result = actors::run_job({.job = job, .program = std::filesystem::read_symlink("/proc/self/exe")});
  switch (result.outcome) {
  case actors::outcome::finished:
    report(job);
    return exit_ok;
  case actors::outcome::stopped:
    spdlog::info("stopped; the same command line goes on. {}", result.text);
    return exit_stopped;
  case actors::outcome::failed:
    break;
  }
  std::fprintf(stderr, "troupe run: %s\n", printable(result.text).c_str());
  return exit_failed;
}

}  // namespace troupe
