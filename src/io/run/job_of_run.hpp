/// A run and its job: what a run has settled, and whether it may go on with another job.
///
/// Each phase goes by options of its own (the table in io/job). Those of a phase that has begun are held; those of one
/// that has not may still change, and phases may be added. A phase may become longer where that changes nothing of what
/// it has done.
#pragma once

#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe::io {

/// The job of the run in this folder, as it was last started; none: no phase has begun there.
/// Errors  those of run_directory::recorded_job and read_ledger.
std::optional<job> begun_job(const std::filesystem::path& root);

/// Fills in what the job leaves to its run: the phases that prompts are divided among (split.phases) are those that the
/// run in run.dir has settled, where one has begun there, and those of run.phases.
/// Errors  those of begun_job.
void settle_division(job& job);

/// To tell when a run begins: sets whose prompts could serve phases among which they are not divided. Once a phase has
/// begun it is too late for them.
std::vector<std::string> notes_on_division(const job& job);

/// What a run says of a job that it is to go on with.
struct job_verdict {
  std::vector<std::string> objections;  ///< what would change of phases that have begun, with what to do; empty: none
  std::vector<phase> reopened;          ///< finished phases that the job makes longer
};

/// Errors  those of recorded_job and read_ledger.
job_verdict verdict_on(const run_directory& run, const job& job);

/// Returns the finished phases that are to go on.
/// Errors  bad_argument, with all objections; those of verdict_on.
std::vector<phase> require_same_job(const run_directory& run, const job& job);

}  // namespace troupe::io
