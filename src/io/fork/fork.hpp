/// A run begun from another's checkpoint.
///
/// The new folder has what the other had when it took the checkpoint: that checkpoint, the finished phases that do not
/// go on from its phase, with their models and records, and the records and experience of its own phase up to there.
/// What comes after is for the new run to do, with options of its own. The other run is only read.
#pragma once

#include "base/keys.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe::io {

/// A checkpoint of a run.
struct fork_point {
  phase of = phase::sft;
  int64_t counter = 0;
  std::filesystem::path folder;
};

/// `at`: "ppo/20"; "ppo/best"; "best": of the last phase that has one; or the checkpoint's folder.
/// Errors  bad_argument: there is no such checkpoint (names those that there are).
fork_point find_fork_point(const run_directory& from, const std::string& at);

/// Why a job cannot go on from there: options that had their part in what lies before, one line each. Empty: it can.
/// Errors  those of recorded_job and read_ledger.
std::vector<std::string> fork_objections(const run_directory& from, const fork_point& at, const job& job);

/// Makes the folder job.run.dir, which `troupe run` then goes on with. It becomes a run with its last file, so that
/// half a one is never taken for it. `counters` are added to those of the checkpoint's manifest: what of the phase's
/// state begins anew with the job.
/// Errors  bad_argument: fork_objections, or the folder is there and not empty; those of verify_checkpoint; io_failure.
void fork_run(const run_directory& from, const fork_point& at, const job& job, const key_map& counters = {});

}  // namespace troupe::io
