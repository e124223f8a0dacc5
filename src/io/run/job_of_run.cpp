#include "io/run/job_of_run.hpp"

#include "base/error.hpp"
#include "io/files/paths.hpp"
#include "io/job/phases.hpp"
#include "io/run/phases_begun.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

namespace troupe::io {

namespace fs = std::filesystem;

std::optional<job> begun_job(const fs::path& root) {
  std::error_code ignored;
  if (!fs::exists(root / "attempt", ignored) || !fs::exists(root / "job.ini", ignored)) {
    return std::nullopt;
  }
  const run_directory run = run_directory::open(root);
  if (phases_begun_of(read_ledger(run.ledger())).all().empty()) {
    return std::nullopt;
  }
  return run.recorded_job();
}

void settle_division(job& job) {
  if (job.split.phases.empty()) {
    if (const auto begun = begun_job(job.run.dir)) {
      job.split.phases = begun->split.phases;
    }
  }
  job.split.phases = divided_phases(job);
}

std::vector<std::string> notes_on_division(const job& job) {
  std::vector<std::string> notes;
  const std::vector<phase> divided = divided_phases(job);
  for (const data_section& set : job.data) {
    std::vector<phase> users, others;
    for (const phase one : served_phases(set)) {
      (contains(divided, one) ? users : others).push_back(one);
    }
    if (!users.empty() && !others.empty()) {
      notes.push_back(fmt::format("data.{}: all its prompts are for {}; where this run is to have {} later, begin it "
                                  "with split.phases = {}",
                                  set.name, phases_text(users), phases_text(others), phases_text(served_phases(set))));
    }
  }
  return notes;
}

namespace {

/// Holds a job against what a run has done.
class job_comparison {
public:
  job_comparison(const io::job& before, const io::job& now, phases_begun done)
      : before_(before), now_(now), done_(std::move(done)) {}

  job_verdict compare() &&;

private:
  void compare_options();
  void compare_length(phase of, const phase_progress& progress);
  /// A phase that has begun and goes on from what `of` makes; none: there is none.
  std::optional<phase> begun_user_of(phase of) const;
  void object(std::string text) { said_.objections.push_back(std::move(text)); }

  const io::job& before_;
  const io::job& now_;
  phases_begun done_;
  job_verdict said_;
};

std::optional<phase> job_comparison::begun_user_of(phase of) const {
  for (const auto& [user, unused] : done_.all()) {
    if (feeds(now_, of, user)) {
      return user;
    }
  }
  return std::nullopt;
}

void job_comparison::compare_options() {
  std::vector<phase> begun;
  for (const auto& [one, unused] : done_.all()) {
    begun.push_back(one);
  }
  said_.objections = differences(before_, now_, begun);
  const bool as_before =
      std::all_of(begun.begin(), begun.end(), [this](phase of) { return divides_alike(before_, now_, of); });
  if (!as_before) {
    object(
        fmt::format("Prompts that were divided when phase {} began stay as they are: give a phase that is added data "
                    "sets of its own (data.NAME.phases), or begin another run with split.phases = {}",
                    to_string(begun.front()), phases_text(divided_phases(now_))));
  }
}

void job_comparison::compare_length(phase of, const phase_progress& progress) {
  const std::vector<std::string> changed = length_differences(before_, now_, of);
  const std::string what = fmt::format("{}", fmt::join(changed, "; "));
  const std::optional<int64_t> length = length_of(now_, of);
  if (!changed.empty() && falls_with_length(before_, of) && falls_with_length(now_, of)) {
    object(
        fmt::format("Its learning rates fall towards the end of phase {}, so that what it has done would have been "
                    "different: give schedules that are constant from the start, or go on from a checkpoint in a run "
                    "of its own: troupe fork {} --at {}/{} --run.dir NEW",
                    to_string(of), now_.run.dir, to_string(of), progress.done));
  } else if (length && *length < progress.done) {
    object(fmt::format("{}: phase {} has done {} already: give at least as many", what, to_string(of), progress.done));
  } else if (!changed.empty() && progress.finished) {
    if (const std::optional<phase> user = begun_user_of(of)) {
      object(fmt::format("{}: phase {} has begun with what phase {} had made: go on from a checkpoint in a run of its "
                         "own: troupe fork {} --at {}/{} --run.dir NEW",
                         what, to_string(*user), to_string(of), now_.run.dir, to_string(of), progress.done));
    } else {
      said_.reopened.push_back(of);
    }
  }
}

job_verdict job_comparison::compare() && {
  compare_options();
  for (const auto& [of, progress] : done_.all()) {
    compare_length(of, progress);
  }
  return std::move(said_);
}

}  // namespace

job_verdict verdict_on(const run_directory& run, const job& job) {
  if (!is_there(run.job())) {
    return {};
  }
  const io::job before = run.recorded_job();
  return job_comparison(before, job, phases_begun_of(read_ledger(run.ledger()))).compare();
}

std::vector<phase> require_same_job(const run_directory& run, const job& job) {
  job_verdict said = verdict_on(run, job);
  if (!said.objections.empty()) {
    throw error(errc::bad_argument,
                "{} holds a run of another job:\n  {}\nTake another run.dir, or give these options their former values",
                run.root().string(), fmt::join(said.objections, "\n  "));
  }
  return std::move(said.reopened);
}

}  // namespace troupe::io
