// troupe plan JOB.ini: memory, disk and FLOPs that a job will need, before anything runs.
#include "base/durations.hpp"
#include "io/files/mapped_file.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/epochs.hpp"
#include "jobs/job_plan.hpp"
#include "jobs/pace.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace troupe {

namespace {

constexpr const char* usage =
    "troupe plan JOB.ini [--gflops N] [--json] [--section.key value ...]\n\n"
    "For each phase of a job: parameters, memory by item, the size of a checkpoint, and floating-point operations, "
    "and\n"
    "the time. That is reckoned at what the machine sustains: N GFLOP/s a rank (--gflops), else what the run in "
    "run.dir\n"
    "has shown so far, else a share of this machine's matrix product, which is measured for a quarter of a second. "
    "Needs\n"
    "the models' config.json only, no weights; data where a phase goes by epochs.\n"
    "--json prints one JSON object. A job that needs more memory than this machine has gets a warning on stderr.\n";

std::string bytes_text(int64_t bytes) {
  const double b = static_cast<double>(bytes);
  return b < 1e9 ? fmt::format("{:.1f} MB", b / 1e6) : fmt::format("{:.2f} GB", b / 1e9);
}

const char* when_text(held_in when) {
  switch (when) {
  case held_in::rollout:
    return "   while it generates";
  case held_in::policy_update:
  case held_in::critic_update:
    return "   in an update";
  case held_in::saving:
    return "   at the end";
  case held_in::always:
    break;
  }
  return "";
}

void print(const phase_plan& plan, const pace& at, int64_t ranks) {
  fmt::print("{}\n", plan.phase);
  for (const planned_model& model : plan.models) {
    fmt::print("  {}: {} parameters\n", model.name, model.parameters);
  }
  for (const rank_plan& one : plan.ranks) {
    for (const planned_memory& item : one.memory) {
      fmt::print("    {:<30}{:>12}{}\n", item.name, bytes_text(item.bytes), when_text(item.when));
    }
    const std::string of =
        plan.ranks.size() == 1 ? "memory of a rank" : "memory of each of ranks " + io::rank_text(one.ranks);
    fmt::print("  {:<32}{:>12}\n", of, bytes_text(one.bytes()));
  }
  if (plan.checkpoint_bytes > 0) {
    fmt::print("  {:<32}{:>12}, at most {} on disk: {}\n", "checkpoint", bytes_text(plan.checkpoint_bytes),
               plan.checkpoints, bytes_text(plan.checkpoints * plan.checkpoint_bytes));
  }
  if (plan.experience_bytes > 0) {
    fmt::print("  {:<32}{:>12}\n", "experience on disk", bytes_text(plan.experience_bytes));
  }
  fmt::print("  {:<26}{:>12.4g} FLOP per {}", "work", plan.flops_each, plan.unit);
  if (plan.count > 0) {
    fmt::print(", {:.4g} in {} {}s", plan.flops_each * static_cast<double>(plan.count), plan.count, plan.unit);
  }
  const double each = seconds_each(plan, at, ranks);
  fmt::print("\n  {:<26}{:>12} each", "time", duration_text(each));
  if (plan.count > 0) {
    fmt::print(", {} in all", duration_text(each * static_cast<double>(plan.count)));
  }
  fmt::print("\n\n");
}

nlohmann::ordered_json to_json(const phase_plan& plan, const pace& at, int64_t ranks) {
  nlohmann::ordered_json out = {{"phase", plan.phase}, {"unit", plan.unit}};
  for (const planned_model& model : plan.models) {
    out["parameters"][model.name] = model.parameters;
  }
  for (const planned_memory& one : plan.ranks.front().memory) {
    out["memory_bytes"][one.name] = one.bytes;
  }
  for (const rank_plan& one : plan.ranks) {
    out["ranks"].push_back({{"ranks", one.ranks}, {"bytes", one.bytes()}});
  }
  out["peak_bytes"] = plan.peak_bytes();
  out["checkpoint_bytes"] = plan.checkpoint_bytes;
  out["experience_bytes"] = plan.experience_bytes;
  out["flops_each"] = plan.flops_each;
  out["count"] = plan.count;
  out["seconds_each"] = seconds_each(plan, at, ranks);
  return out;
}

struct plan_options {
  double gflops = 0;  ///< 0: not given
  bool json = false;
};

/// Takes the command's own options out of the arguments; the rest is the job's.
/// Errors  usage_error.
plan_options take_options(std::vector<std::string>& arguments) {
  plan_options options;
  options.json = std::erase(arguments, "--json") > 0;
  const auto found = std::find(arguments.begin(), arguments.end(), "--gflops");
  if (found == arguments.end()) {
    return options;
  }
  const std::string text = found + 1 == arguments.end() ? "" : *(found + 1);
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, options.gflops);
  if (parsed.ec != std::errc() || parsed.ptr != end || !(options.gflops > 0) || !std::isfinite(options.gflops)) {
    throw usage_error("--gflops \"{}\": give it a number above 0", text);
  }
  arguments.erase(found, found + 2);
  return options;
}

io::job read_job(const std::vector<std::string>& arguments) {
  const std::filesystem::path file = std::filesystem::absolute(arguments[0]);
  return io::parse_job(io::read_text_file(file),
                       {.name = arguments[0],
                        .stem = file.stem().string(),
                        .folder = file.parent_path().string(),
                        .current = std::filesystem::current_path().string()},
                       std::span(arguments).subspan(1));
}

/// Of a rank, as `troupe run` would give it: run.threads, or its share of this machine.
int64_t threads_of(const io::job& job) {
  const auto cores = static_cast<int64_t>(std::thread::hardware_concurrency());
  return job.run.threads > 0 ? job.run.threads : std::max<int64_t>(1, cores / job.place.ranks);
}

}  // namespace

int plan_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const plan_options options = take_options(arguments);
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    fmt::print(arguments.empty() ? stderr : stdout, "{}", usage);
    return arguments.empty() ? exit_usage : exit_ok;
  }
  const io::job job = from_user([&] { return read_job(arguments); });
  std::vector<phase_plan> plans = plan_job(job);
  count_epochs(job, plans);
  const pace at = find_pace(job, options.gflops, threads_of(job));
  const std::optional<double> seconds = seconds_in_all(plans, at, job.place.ranks);
  const int64_t here = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGE_SIZE);
  const int64_t disk = run_directory_bytes(job, plans);
  int64_t peak = 0;
  nlohmann::ordered_json phases = nlohmann::ordered_json::array();
  for (const phase_plan& plan : plans) {
    peak = std::max(peak, plan.peak_bytes());
    if (options.json) {
      phases.push_back(to_json(plan, at, job.place.ranks));
    } else {
      print(plan, at, job.place.ranks);
    }
  }
  if (options.json) {
    nlohmann::ordered_json all = {
        {"phases", phases}, {"peak_bytes", peak}, {"disk_bytes", disk}, {"machine_bytes", here}, {"pace", at.source}};
    if (seconds) {
      all["seconds"] = *seconds;
    }
    fmt::print("{}\n", all.dump());
  } else {
    fmt::print("peak {}; this machine has {}\nrun directory {}\n", bytes_text(peak), bytes_text(here),
               bytes_text(disk));
    fmt::print("time {}: {}\n",
               seconds ? duration_text(*seconds) : "not known, a phase goes by epochs of data that are not here",
               at.source);
  }
  if (peak > here) {
    fmt::print(stderr,
               "troupe plan: it does not fit here: {} are needed, this machine has {}. Lower micro-batch-tokens, set "
               "run.activation-checkpointing = true, or take a larger machine.\n",
               bytes_text(peak), bytes_text(here));
  }
  return exit_ok;
}

}  // namespace troupe
