// troupe plan JOB.ini: memory, disk and FLOPs that a job will need, before anything runs.
#include "base/durations.hpp"
#include "base/printable.hpp"
#include "engine/cards/card_module.hpp"
#include "io/json/jsonl_filter.hpp"
#include "jobs/arguments.hpp"
#include "jobs/checked_job.hpp"
#include "jobs/commands.hpp"
#include "jobs/data_warnings.hpp"
#include "jobs/device_choice.hpp"
#include "jobs/epochs.hpp"
#include "jobs/job_plan.hpp"
#include "jobs/own_options.hpp"
#include "jobs/pace.hpp"
#include "jobs/plan_fit.hpp"
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
    "troupe plan JOB.ini [--gflops N] [--host-gib N] [--device-gib N] [--json] [--section.key value ...]\n\n"
    "For each phase of a job: parameters, memory by item, the size of a checkpoint, floating-point operations, and\n"
    "the time. That is reckoned at what the machine sustains: N GFLOP/s a rank (--gflops), else what the run in\n"
    "run.dir has shown so far, else a share of this machine's matrix product, which is measured for a quarter of a\n"
    "second. Needs the models' config.json only, no weights; data where a phase goes by epochs.\n"
    "With place.device = cuda memory has two columns, of a rank's card and of its host. --json prints an object.\n"
    "A job that needs more memory than this machine has gets a warning on stderr, with what holds it and what to set;\n"
    "of another machine --host-gib says what a rank may have of a host, and --device-gib how large a card is.\n";

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
  int64_t peak_bytes = 0, card_peak_bytes = 0, disk_bytes = 0;
  memory_there there;
  bool named = false;    ///< that memory, on the command line
  std::string no_cards;  ///< why this machine has none to compare with
};

/// Gibibytes that were named of another machine's memory; 0: none.
struct named_memory {
  double host_gib = 0, device_gib = 0;
};

int64_t bytes_of_gib(double gib) { return static_cast<int64_t>(gib * (int64_t{1} << 30)); }

/// What a rank may have: as named, or else this machine's.
void set_memory(forecast& all, const io::job& job, const named_memory& named) {
  all.named = named.host_gib > 0;
  all.there.host_bytes = all.named ? bytes_of_gib(named.host_gib)
                                   : static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  if (job.place.device != io::device_choice::cuda) {
    return;
  }
  if (named.device_gib > 0) {
    all.there.card_bytes = bytes_of_gib(named.device_gib);
    return;
  }
  const engine::card_module cards(engine::usual_places());
  if (const device_facts* const first = cards.first_facts()) {
    all.there.card_bytes = first->bytes;
  } else {
    all.no_cards = cards.cards() > 0 ? cards.answers().front().failure : cards.why_none();
  }
}

forecast forecast_of(const io::job& job, double gflops, const named_memory& named) {
  forecast all{.plans = plan_job(job), .at = find_pace(job, gflops, threads_of(job)), .ranks = job.place.ranks};
  count_epochs(job, all.plans);
  all.seconds = seconds_in_all(all.plans, all.at, all.ranks);
  for (const phase_plan& plan : all.plans) {
    all.peak_bytes = std::max(all.peak_bytes, plan.peak_bytes());
    all.card_peak_bytes = std::max(all.card_peak_bytes, plan.card_peak_bytes());
  }
  all.disk_bytes = run_directory_bytes(job, all.plans);
  set_memory(all, job, named);
  return all;
}

std::string card_line(const forecast& all) {
  const std::string there = all.there.card_bytes < 0 ? "--device-gib N compares it with a card's: " + all.no_cards
                                                     : "a card has " + bytes_text(all.there.card_bytes);
  return fmt::format("peak of a card {}; {}\n", bytes_text(all.card_peak_bytes), there);
}

bool on_cards(const forecast& all) { return !all.plans.empty() && all.plans.front().on_cards; }

std::string forecast_text(const forecast& all) {
  std::string text;
  for (const phase_plan& plan : all.plans) {
    text += plan_text(plan, all.at, all.ranks);
  }
  if (on_cards(all)) {
    text += card_line(all);
  }
  text += fmt::format("peak{} {}; {} has {}\nrun directory {}\n", on_cards(all) ? " of a host" : "",
                      bytes_text(all.peak_bytes), all.named ? "a rank" : "this machine",
                      bytes_text(all.there.host_bytes), bytes_text(all.disk_bytes));
  const bool paced =
      std::all_of(all.plans.begin(), all.plans.end(), [&](const phase_plan& plan) { return all.at.knows(plan.phase); });
  const std::string time = all.seconds ? duration_text(*all.seconds)
                           : paced     ? "not known, a phase goes by epochs of data that are not here"
                                       : "not known";
  return text + fmt::format("time {}: {}\n", time, all.at.source);
}

std::string forecast_json(const forecast& all) {
  io::json_line phases = io::json_line::array();
  for (const phase_plan& plan : all.plans) {
    phases.push_back(plan_json(plan, all.at, all.ranks));
  }
  io::json_line out = {{"phases", phases},
                       {"peak_bytes", all.peak_bytes},
                       {"disk_bytes", all.disk_bytes},
                       {"machine_bytes", all.there.host_bytes},
                       {"pace", all.at.source}};
  if (on_cards(all)) {
    out["card_peak_bytes"] = all.card_peak_bytes;
    if (all.there.card_bytes >= 0) {
      out["card_bytes"] = all.there.card_bytes;
    }
  }
  if (all.seconds) {
    out["seconds"] = *all.seconds;
  }
  return io::json_line_text(out) + "\n";
}

void warn_of_memory(const io::job& job, const forecast& all) {
  if (on_cards(all)) {
    for (const std::string& misfit : misfits_of_plan(job, all.plans, all.there)) {
      fmt::print(stderr, "troupe plan: {}.\n", misfit);
    }
  } else if (all.peak_bytes > all.there.host_bytes) {
    fmt::print(stderr,
               "troupe plan: it does not fit here: {} are needed, {} has {}. Lower micro-batch-tokens, set "
               "run.activation-checkpointing = true, or take a larger machine.\n",
               bytes_text(all.peak_bytes), all.named ? "a rank" : "this machine", bytes_text(all.there.host_bytes));
  }
}

}  // namespace

int plan_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool as_json = take_flag(arguments, "--json");
  const double gflops = take_number<double>(arguments, "--gflops", least::above_zero).value_or(0);
  const named_memory named{.host_gib = take_number<double>(arguments, "--host-gib", least::above_zero).value_or(0),
                           .device_gib = take_number<double>(arguments, "--device-gib", least::above_zero).value_or(0)};
  if (const auto told = tell_usage(arguments, usage)) {
    return *told;
  }
  io::job job = checked_job(arguments, needed_files::configs);
  if (job.place.device == io::device_choice::automatic) {
    // A run is planned where it began, whatever this machine has.
    const auto before = named.device_gib > 0 ? io::device_choice::cuda : device_so_far(job);
    job.place.device = before ? *before : settled_device(job);
  }
  if (named.device_gib > 0 && job.place.device != io::device_choice::cuda) {
    throw usage_error("--device-gib: this job does not run on cards: give --place.device cuda too");
  }
  warn_of_data(job);
  const forecast all = forecast_of(job, gflops, named);
  for (const std::string& missing : io::missing_files(job)) {
    fmt::print(stderr, "troupe plan: {}: a run would be refused here\n", printable(missing));
  }
  fmt::print("{}", as_json ? forecast_json(all) : printable(forecast_text(all)));
  warn_of_memory(job, all);
  return exit_ok;
}

}  // namespace troupe
