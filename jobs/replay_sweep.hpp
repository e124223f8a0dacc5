/// A sweep: the same replay with other options, each variant a run of its own below the sweep's folder.
#pragma once

#include "io/job/job.hpp"
#include "io/run/replayed_run.hpp"
#include "io/run/run_status.hpp"
#include "jobs/replay_request.hpp"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct sweep_variant {
  std::string name;                  ///< "ppo.kl-coef=0.05_ppo.gamma=1": its folder
  std::vector<std::string> options;  ///< "--ppo.kl-coef", "0.05", ...
};

/// The grid of all axes, the last one turning fastest.
/// Errors  usage_error: an option is on two axes; two variants have one name.
std::vector<sweep_variant> variants_of(const std::vector<sweep_axis>& axes);

/// A variant's job, in its place below the folder of the sweep.
struct planned_variant {
  sweep_variant variant;
  io::job job;
};

/// All jobs of a sweep, each checked before any starts.
/// Errors  usage_error, with the variant's name: it cannot be replayed so; its folder holds a run of another job.
std::vector<planned_variant> plan_sweep(const replay_request& request, const io::replayed_run& source);

/// How its run stands; none: it has not begun.
/// Errors  those of io::read_run_status.
std::optional<io::run_status> status_of(const planned_variant& variant);

/// Runs what is left of the variants, one after the other, each in a process of its own by calling `run` there, which
/// returns its exit status. One that fails leaves the others to run. Returns exit_stopped where somebody asked to stop,
/// exit_failed where a variant failed, else exit_ok. Call it before any other thread exists.
int run_sweep(const std::vector<planned_variant>& variants, const std::function<int(const io::job&)>& run);

/// Writes each variant's job file, and a batch script that runs them as an array of Slurm's; returns its path.
/// Errors  those of plan_batch_array; io_failure.
std::filesystem::path write_sweep_array(const std::filesystem::path& folder,
                                        const std::vector<planned_variant>& variants);

}  // namespace troupe
