// troupe fork RUN --at CHECKPOINT --run.dir NEW [--section.key value ...]: begins a run from another's checkpoint.
#include "io/fork/fork.hpp"

#include "actors/cast/stored_state.hpp"
#include "actors/director/ppo_state.hpp"
#include "actors/models/job_fit.hpp"
#include "base/printable.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/own_options.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

namespace {

constexpr const char* usage =
    "troupe fork RUN --at CHECKPOINT --run.dir NEW [--section.key value ...]\n\n"
    "Begins the run NEW from a checkpoint of RUN, with RUN's job and the options given here. CHECKPOINT is PHASE/N\n"
    "(ppo/20), PHASE/best, best (of the last phase that has one) or the checkpoint's folder. NEW gets the checkpoint,\n"
    "what earlier phases have made, and the records up to there; RUN is only read. What lies before the checkpoint\n"
    "cannot be changed: an option that had its part in it is refused, and named. Nothing runs yet:\n\n"
    "  troupe run NEW/job.ini\n";

io::job job_of_fork(const io::run_directory& from, const std::vector<std::string>& options) {
  if (value_of(options, "--run.dir").empty()) {
    throw usage_error("--run.dir is missing: name the folder of the new run");
  }
  io::job job = from_user([&] { return io::load_job(from.job().string(), options); });
  if (job.split.phases.empty()) {
    job.split.phases = from.recorded_job().split.phases;
  }
  if (std::filesystem::weakly_canonical(job.run.dir) == std::filesystem::weakly_canonical(from.root())) {
    throw usage_error("--run.dir {}: this is the run itself; name a new folder", job.run.dir);
  }
  from_user([&] { actors::require_fit(job, actors::needed_weights::all); });
  return job;
}

/// What of the checkpoint's state begins anew with the fork's job.
key_map begun_anew(const io::run_directory& from, const io::fork_point& at, const io::job& job) {
  if (at.of != io::phase::ppo) {
    return {};
  }
  const actors::statistics then = actors::stored_state(io::checkpoint_reader(at.folder));
  actors::phase_state state{.phase = at.of, .counter = static_cast<uint64_t>(at.counter), .values = then};
  actors::adopt_options(state, from.recorded_job(), job);
  return actors::counters_of_change(then, state.values);
}

}  // namespace

int fork_command(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (const auto told = tell_usage(arguments, usage)) {
    return *told;
  }
  const std::optional<std::string> wanted = take_value(arguments, "--at");
  if (!wanted) {
    throw usage_error("--at is missing: name a checkpoint, as in --at ppo/20 or --at best");
  }
  if (arguments.empty()) {
    throw usage_error("name the run first: troupe fork RUN ...");
  }
  const io::run_directory from = from_user([&] { return io::run_directory::open(arguments[0]); });
  const io::job job = job_of_fork(from, {arguments.begin() + 1, arguments.end()});
  const io::fork_point at = from_user([&] { return io::find_fork_point(from, *wanted); });
  io::fork_run(from, at, job, begun_anew(from, at, job));
  fmt::print("{}: forked from {} at {}/{}. It goes on with\n  troupe run {}/job.ini\n", printable(job.run.dir),
             printable(from.root().string()), io::to_string(at.of), at.counter, printable(job.run.dir));
  return exit_ok;
}

}  // namespace troupe
