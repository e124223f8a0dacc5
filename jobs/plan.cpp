// troupe plan JOB.ini: memory, disk and FLOPs that a job will need, before anything runs.
#include "base/durations.hpp"
#include "base/printable.hpp"
#include "io/json/jsonl_filter.hpp"
#include "jobs/checked_job.hpp"
#include "jobs/commands.hpp"
#include "jobs/data_warnings.hpp"
#include "jobs/epochs.hpp"
#include "jobs/job_plan.hpp"
#include "jobs/own_options.hpp"
#include "jobs/pace.hpp"
#include "jobs/plan_text.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace troupe {

namespace {

constexpr const char* usage =
    "troupe plan JOB.ini [--gflops N] [--json] [--section.key value ...]\n\n"
    "For each phase of a job: parameters, memory by item, the size of a checkpoint, floating-point operations, and\n"
    "the time. That is reckoned at what the machine sustains: N GFLOP/s a rank (--gflops), else what the run in\n"
    "run.dir has shown so far, else a share of this machine's matrix product, which is measured for a quarter of a\n"
    "second. Needs the models' config.json only, no weights; data where a phase goes by epochs.\n"
    "--json prints one JSON object. A job that needs more memory than this machine has gets a warning on stderr.\n";

/// Of a rank, as `troupe run` would give it: run.threads, or its share of this machine.
int64_t threads_of(const io::job& job) {
  const auto cores = static_cast<int64_t>(std::thread::hardware_concurrency());
  return job.run.threads > 0 ? job.run.threads : std::max<int64_t>(1, cores / job.place.ranks);
}

/// What is said of a job as a whole.
struct forecast {
  std::vector<phase_plan> plans;
  pace at;
  int64_t ranks = 1;
  std::optional<double> seconds;  ///< none: a phase goes by epochs of data that are not here
  int64_t peak_bytes = 0, disk_bytes = 0, machine_bytes = 0;
};

forecast forecast_of(const io::job& job, double gflops) {
  forecast all{.plans = plan_job(job), .at = find_pace(job, gflops, threads_of(job)), .ranks = job.place.ranks};
  count_epochs(job, all.plans);
  all.seconds = seconds_in_all(all.plans, all.at, all.ranks);
  for (const phase_plan& plan : all.plans) {
    all.peak_bytes = std::max(all.peak_bytes, plan.peak_bytes());
  }
  all.disk_bytes = run_directory_bytes(job, all.plans);
  all.machine_bytes = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  return all;
}

std::string forecast_text(const forecast& all) {
  std::string text;
  for (const phase_plan& plan : all.plans) {
    text += plan_text(plan, all.at, all.ranks);
  }
  text += fmt::format("peak {}; this machine has {}\nrun directory {}\n", bytes_text(all.peak_bytes),
                      bytes_text(all.machine_bytes), bytes_text(all.disk_bytes));
  return text + fmt::format("time {}: {}\n",
                            all.seconds ? duration_text(*all.seconds)
                                        : "not known, a phase goes by epochs of data that are not here",
                            all.at.source);
}

std::string forecast_json(const forecast& all) {
  io::json_line phases = io::json_line::array();
  for (const phase_plan& plan : all.plans) {
    phases.push_back(plan_json(plan, all.at, all.ranks));
  }
  io::json_line out = {{"phases", phases},
                       {"peak_bytes", all.peak_bytes},
                       {"disk_bytes", all.disk_bytes},
                       {"machine_bytes", all.machine_bytes},
                       {"pace", all.at.source}};
  if (all.seconds) {
    out["seconds"] = *all.seconds;
  }
  return io::json_line_text(out) + "\n";
}

}  // namespace

int plan_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool as_json = take_flag(arguments, "--json");
  const double gflops = take_number<double>(arguments, "--gflops", least::above_zero).value_or(0);
  if (const auto told = tell_usage(arguments, usage)) {
    return *told;
  }
  const io::job job = checked_job(arguments, needed_files::configs);
  warn_of_data(job);
  const forecast all = forecast_of(job, gflops);
  for (const std::string& missing : io::missing_files(job)) {
    fmt::print(stderr, "troupe plan: {}: a run would be refused here\n", printable(missing));
  }
  fmt::print("{}", as_json ? forecast_json(all) : printable(forecast_text(all)));
  if (all.peak_bytes > all.machine_bytes) {
    fmt::print(stderr,
               "troupe plan: it does not fit here: {} are needed, this machine has {}. Lower micro-batch-tokens, set "
               "run.activation-checkpointing = true, or take a larger machine.\n",
               bytes_text(all.peak_bytes), bytes_text(all.machine_bytes));
  }
  return exit_ok;
}

}  // namespace troupe
