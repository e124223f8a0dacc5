// troupe run JOB.ini [--quiet] [--section.key value ...]: everything that is left of a job.
#include "base/printable.hpp"
#include "io/job/job.hpp"
#include "io/rewards/command_reward.hpp"
#include "jobs/arguments.hpp"
#include "jobs/checked_job.hpp"
#include "jobs/commands.hpp"
#include "jobs/data_warnings.hpp"
#include "jobs/log.hpp"
#include "jobs/own_options.hpp"
#include "jobs/report.hpp"
#include "jobs/run_to_end.hpp"
#include "jobs/standard_streams.hpp"

#include <spdlog/spdlog.h>

#include <csignal>
#include <string>
#include <vector>

namespace troupe {

constexpr const char* usage =
    "troupe run JOB.ini [--quiet] [--section.key value ...]\n\n"
    "Runs the phases of a job, one after another, skipping those that are finished. Stopped by SIGTERM, SIGINT,\n"
    "SIGUSR1 or SIGHUP it saves its state first; stopped by anything else it goes on from its last checkpoint. In\n"
    "both cases the same command line resumes it. A second Ctrl-C says what is being waited for; a third, or a second\n"
    "SIGTERM, ends at once.\n\n"
    "What it says stands in log.txt of the run's folder too; --quiet tells only of trouble, and NO_COLOR is heeded.\n\n"
    "Exit status: 0 finished; 1 failed; 2 wrong usage or job file; 75 stopped on request, to be run again.\n\n";

/// Nobody may be there any more to read it, which does not make a finished run a failed one.
static void report(const io::job& job) {
  if (const auto failure = try_to_print(printable(report_text(io::run_directory::open(job.run.dir), job)))) {
    spdlog::warn("the report cannot be printed: {}", *failure);
  }
}

/// A program for rewards that does not work is told now, not when the phases before have run. Where ranks run in a
/// container, it may be there alone.
static void try_programs(const io::job& job) {
  for (const io::reward_source& source : job.rewards) {
    if (source.kind == io::reward_kind::command && job.place.wrapper.empty()) {
      std::signal(SIGPIPE, SIG_IGN);
      io::command_reward({.source = source}).try_out();
    }
  }
}

int run_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool quiet = take_flag(arguments, "--quiet");
  if (const auto told = tell_usage(arguments, usage + io::job_help())) {
    return *told;
  }
  refuse_copies();
  if (quiet) {
    process_console()->be_quiet();
  }
  const io::job job = checked_job(arguments, needed_files::all);
  warn_of_data(job);
  from_user([&] { try_programs(job); });
  const int status = run_to_end(job, "troupe run");
  if (status == exit_ok && !quiet) {
    report(job);
  }
  return status;
}

}  // namespace troupe
