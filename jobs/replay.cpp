// troupe replay RUN: the updates of a run's ppo phase, made again from its stored experience.
#include "actors/models/job_fit.hpp"
#include "base/printable.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/files/atomic_file.hpp"
#include "io/files/paths.hpp"
#include "jobs/arguments.hpp"
#include "jobs/commands.hpp"
#include "jobs/own_options.hpp"
#include "jobs/replay_comparison.hpp"
#include "jobs/replay_request.hpp"
#include "jobs/replay_sweep.hpp"
#include "jobs/run_to_end.hpp"
#include "jobs/sweep_report.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

namespace troupe {

namespace {

constexpr const char* usage =
    "troupe replay RUN [--from-iteration N] [--to-iteration M] --verify [--json]\n"
    "troupe replay RUN [--from-iteration N] [--to-iteration M] --run.dir NEW [--section.key value ...]\n"
    "                  [--sweep section.key=a,b,c ...] [--slurm] [--json]\n\n"
    "Makes the updates of a run's ppo phase again, from its checkpoint after iteration N (0: from its start) and its\n"
    "stored experience up to iteration M, without generation, reward model or reference.\n\n"
    "With --verify every number is held against what the run has stored, and every tensor against its checkpoint\n"
    "after M. What it writes lies in RUN/replays/ and goes when nothing differs. Exit status: 0 nothing differs; 1\n"
    "something does, or it failed.\n\n"
    "Without, the job may differ in all that needs no new answers: learning rates, clips, epochs, minibatches, KL,\n"
    "gamma, lambda, weights of the rewards, mixture, ... ([replay] says how answers count that another policy\n"
    "sampled.) It is a run of its own below NEW.\n\n"
    "With --sweep the variants of a grid run one after the other, each below NEW; a table ends it, on stdout, and a\n"
    "picture of their curves, NEW/sweep.svg. --slurm writes NEW/sweep.sbatch instead, which runs them as an array;\n"
    "the same command without --slurm then shows what they have come to.\n\n"
    "The same command line goes on with a replay that was stopped or died. Exit status: 0 finished; 1 failed; 2 wrong\n"
    "usage; 75 stopped on request, to be run again.\n\n";

/// What lies in a run's folder, and no replay has made.
std::vector<std::filesystem::path> left_by_others(const io::run_directory& run) {
  const std::filesystem::path made[] = {run.job(),    run.lock(),       run.attempt_file(), run.ledger(),
                                        run.log(),    run.metrics(),    run.tensorboard(),  run.checkpoints(),
                                        run.models(), run.experience(), run.rollouts(),     run.evaluations(),
                                        run.control()};
  std::vector<std::filesystem::path> others;
  for (const auto& entry : io::entries_of(run.root())) {
    if (std::find(std::begin(made), std::end(made), entry.path()) == std::end(made)) {
      others.push_back(entry.path());
    }
  }
  return others;
}

/// What a replay that verified has shown; it is removed where nothing differs, it was its own place, and nobody has put
/// anything of theirs there.
int conclude(const replay_request& request, const io::replayed_run& source, const io::job& job) {
  const io::run_directory replayed = io::run_directory::open(job.run.dir);
  const replay_comparison found = compare_replay(source, replayed, job.replay.to_iteration);
  fmt::print("{}", request.json ? comparison_json(found) : printable(comparison_text(found)));
  if (!found.equal()) {
    spdlog::warn("the replay stays in {}", job.run.dir);
    return exit_failed;
  }
  if (!value_of(request.options, "--run.dir").empty()) {
    return exit_ok;
  }
  if (const auto others = left_by_others(replayed); !others.empty()) {
    spdlog::warn("{} is not of the replay: {} stays", others.front().string(), job.run.dir);
  } else {
    io::remove_tree(job.run.dir);
  }
  return exit_ok;
}

/// What the replay starts from and is held against. Damage is told before it begins.
void require_readable(const replay_request& request, const io::replayed_run& source, const io::job& job) {
  if (const int64_t from = job.replay.from_iteration; from > 0) {
    const std::filesystem::path start = source.checkpoint(from);
    io::verify_checkpoint(start, io::read_manifest(start));
  }
  if (request.verify) {
    require_comparable(source, job.replay.to_iteration);
  }
}

/// One replay, from where it stands to its end.
int run_one(const replay_request& request, const io::replayed_run& source, const io::job& job) {
  from_user([&] { actors::require_fit(job, actors::needed_weights::all); });
  require_readable(request, source, job);
  spdlog::info("replaying iterations {} to {} of {} in {}", job.replay.from_iteration + 1, job.replay.to_iteration,
               request.run, job.run.dir);
  const int status = run_to_end(job, "troupe replay");
  return status == exit_ok && request.verify ? conclude(request, source, job) : status;
}

/// All variants, and what they have come to.
int run_all(const replay_request& request, const io::replayed_run& source) {
  const std::vector<planned_variant> variants = plan_sweep(request, source);
  const std::filesystem::path folder =
      std::filesystem::absolute(value_of(request.options, "--run.dir")).lexically_normal();
  io::make_folder(folder);
  if (request.slurm) {
    fmt::print("{}\n", printable(write_sweep_array(folder, variants).string()));
    return exit_ok;
  }
  const int status = run_sweep(variants, [&](const io::job& job) { return run_one(request, source, job); });
  const std::vector<variant_outcome> outcomes = outcomes_of(variants);
  const std::filesystem::path picture = folder / "sweep.svg";
  io::write_file_atomically(picture, sweep_picture(outcomes));
  fmt::print("{}", request.json ? sweep_json(outcomes) : printable(sweep_text(outcomes)));
  spdlog::info("the curves are in {}", picture.string());
  return status;
}

}  // namespace

int replay_command(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (const auto told = tell_usage(arguments, usage + io::job_help())) {
    return *told;
  }
  refuse_copies();
  const replay_request request = read_replay_request(arguments);
  const io::replayed_run source = from_user([&] { return io::replayed_run(request.run); });
  if (!request.sweep.empty()) {
    return run_all(request, source);
  }
  return run_one(request, source, replay_job(request, source));
}

}  // namespace troupe
