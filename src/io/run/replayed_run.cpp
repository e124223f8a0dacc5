#include "io/run/replayed_run.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/checkpoint/checkpoint.hpp"
#include "io/files/paths.hpp"
#include "io/job/replayed_options.hpp"
#include "io/run/starting_folders.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace troupe::io {

namespace fs = std::filesystem;

static constexpr const char* phase_name = "ppo";
static constexpr const char* unit = "iteration";

replayed_run::replayed_run(const fs::path& folder) : run_(run_directory::open(folder)), job_(run_.recorded_job()) {
  if (!job_.has(phase::ppo)) {
    throw error(errc::bad_argument, "{} has no ppo phase: there is nothing to replay", folder.string());
  }
}

std::vector<int64_t> replayed_run::checkpoints() const {
  std::vector<int64_t> counters;
  for (const found_checkpoint& found : list_checkpoints(run_.checkpoints(), phase_name)) {
    counters.push_back(found.manifest.counter);
  }
  return counters;
}

fs::path replayed_run::checkpoint(int64_t iteration) const {
  return checkpoint_folder(run_.checkpoints(), phase_name, unit, iteration);
}

std::string replayed_run::start_name(int64_t from_iteration) const {
  return from_iteration > 0 ? fs::relative(checkpoint(from_iteration), run_.root()).string() : "start";
}

std::vector<std::string> replayed_run::job_digests() const {
  std::vector<std::string> digests = {digest_text(job_digest(job_, phase::ppo))};
  for (const found_checkpoint& found : list_checkpoints(run_.checkpoints(), phase_name)) {
    if (const auto job = found.manifest.digests.find("job"); job != found.manifest.digests.end()) {
      digests.push_back(job->second);
    }
  }
  std::sort(digests.begin(), digests.end());
  digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
  return digests;
}

std::map<std::string, std::string> replayed_run::input_digests() const {
  std::map<std::string, std::string> digests;
  for (const found_checkpoint& found : list_checkpoints(run_.checkpoints(), phase_name)) {
    digests.insert(found.manifest.digests.begin(), found.manifest.digests.end());
  }
  digests.erase("job");
  return digests;
}

int64_t replayed_run::last_stored(int64_t from_iteration) const {
  int64_t last = job_.ppo.iterations;
  while (last > from_iteration && !is_there(run_.experience(last))) {
    --last;
  }
  return last;
}

job replayed_run::replay_of(replay_section how) const {
  const starting_folders starts = starting_folders_of(job_, &run_);
  io::job replay = job_;
  replay.run.phases = {phase::replay};
  replay.run.dir.clear();
  replay.split.phases = divided_phases(job_);  // text for mixture training is the run's own
  replay.model.policy = starts.policy.string();
  replay.model.critic = starts.critic.string();
  replay.model.reference.clear();  // what these said is stored
  replay.model.reward.clear();
  if (starts.policy != job_.model.policy) {
    replay.model.initial = initial_weights::stored;  // what an earlier phase has made is no draw
  }
  how.of = fs::absolute(run_.root()).lexically_normal().string();
  replay.replay = std::move(how);
  return replay;
}

std::string replayed_run::listed_checkpoints() const {
  const std::vector<int64_t> counters = checkpoints();
  return counters.empty() ? "the run has none" : fmt::format("there are those after {}", fmt::join(counters, ", "));
}

/// The iterations of a replay, and those that the first of them mix in, whose files are not there, as "3, 5 to 9";
/// empty: none is missing.
std::string replayed_run::missing_files(const io::job& replay) const {
  std::vector<std::string> ranges;
  const int64_t last = replay.replay.to_iteration;
  const auto missing = [&](int64_t i) { return i <= last && !is_there(run_.experience(i)); };
  for (int64_t i = std::max<int64_t>(0, replay.replay.from_iteration - replay.mixing_window()) + 1; i <= last; ++i) {
    const int64_t first = i;
    while (missing(i)) {
      ++i;
    }
    if (i > first) {
      ranges.push_back(first == i - 1 ? fmt::format("{}", first) : fmt::format("{} to {}", first, i - 1));
    }
  }
  return fmt::format("{}", fmt::join(ranges, ", "));
}

void replayed_run::require_replayable(const io::job& replay) const {
  const replay_section& how = replay.replay;
  std::vector<std::string> problems;
  for (const option_change& change : replay_changes(replay_of(how), replay)) {
    if (change.needs_samples) {
      problems.push_back(fmt::format("{} = {}: the run's answers were sampled with {}, and what another value would do "
                                     "they cannot show: leave it out, or start a new run",
                                     change.name, change.now, change.before));
    } else if (how.verify) {
      problems.push_back(
          fmt::format("{} = {}: replay.verify replays the run's own updates, made with {}: leave it out, "
                      "or replay without that",
                      change.name, change.now, change.before));
    }
  }
  if (how.from_iteration > 0 && !is_there(checkpoint(how.from_iteration) / "manifest.json")) {
    problems.push_back(fmt::format("replay.from-iteration = {}: {} has no checkpoint after this iteration; {}",
                                   how.from_iteration, run_.root().string(), listed_checkpoints()));
  }
  for (const auto& [key, folder] : {std::pair("policy", replay.model.policy), {"critic", replay.model.critic}}) {
    if (!is_there(fs::path(folder) / "config.json")) {
      problems.push_back(fmt::format(
          "model.{} = {}: this model, from which the phase started, is not there any more: put it back", key, folder));
    }
  }
  if (const std::string missing = missing_files(replay); !missing.empty() && !how.allows(replay_leniency::iterations)) {
    problems.push_back(
        fmt::format("{} has no experience of iterations {} (experience.keep = {}): replay others, or, to "
                    "leave these out, replay.allow = iterations",
                    run_.root().string(), missing, job_.experience.keep));
  } else if (!missing.empty() && !fs::exists(run_.experience(how.to_iteration))) {
    problems.push_back(
        fmt::format("replay.to-iteration = {}: {} has no experience of this iteration, and a replay ends with one that "
                    "there is",
                    how.to_iteration, run_.root().string()));
  }
  if (how.verify && !is_there(checkpoint(how.to_iteration) / "manifest.json") &&
      !(how.to_iteration == job_.ppo.iterations && is_there(run_.model("policy")))) {
    problems.push_back(
        fmt::format("replay.to-iteration = {}: {} has no checkpoint after this iteration to compare with; {}",
                    how.to_iteration, run_.root().string(), listed_checkpoints()));
  }
  if (how.to_iteration > replay.ppo.iterations) {
    problems.push_back(
        fmt::format("replay.to-iteration = {} is beyond ppo.iterations = {}", how.to_iteration, replay.ppo.iterations));
  }
  if (how.verify && !how.allow.empty()) {
    problems.push_back(
        "replay.allow with replay.verify: nothing may be amiss in what is to be the same: leave one out");
  }
  if (!problems.empty()) {
    throw error(errc::bad_argument, "{} cannot be replayed so:\n  {}", run_.root().string(),
                fmt::join(problems, "\n  "));
  }
}

}  // namespace troupe::io
