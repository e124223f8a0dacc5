/// A run whose ppo phase is replayed: what it holds to go by, and the job that replays it.
#pragma once

#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace troupe::io {

class replayed_run {
public:
  /// Errors  not_found, bad_argument: not a run, or one without a ppo phase; those of recorded_job.
  explicit replayed_run(const std::filesystem::path& folder);

  const run_directory& run() const { return run_; }
  /// As the run was last started.
  const io::job& job() const { return job_; }

  /// The counters of the checkpoints of its ppo phase, ascending.
  std::vector<int64_t> checkpoints() const;
  /// The folder of the checkpoint after so many iterations; it may be absent.
  std::filesystem::path checkpoint(int64_t iteration) const;
  /// "checkpoints/ppo/iteration-000020", or, for 0, "start".
  std::string start_name(int64_t from_iteration) const;
  /// The digests by which files of the run name its job: of its checkpoints, and of the job as it is recorded.
  std::vector<std::string> job_digests() const;
  /// Those of models and data by name, as its checkpoints have them.
  std::map<std::string, std::string> input_digests() const;
  /// The last iteration of the job whose experience is there, though some before it may be missing; none after
  /// `from_iteration`: at most this.
  int64_t last_stored(int64_t from_iteration) const;

  /// A job that replays: the run's own, whose models are those that its ppo phase started from.
  io::job replay_of(replay_section how) const;

  /// That the job can be replayed: options, a checkpoint to start from, files of all iterations, and, where it is to
  /// verify, something to compare with.
  /// Errors  bad_argument, not_found: everything that is in the way, each with what to do.
  void require_replayable(const io::job& replay) const;

private:
  std::string missing_files(const io::job& replay) const;
  std::string listed_checkpoints() const;

  run_directory run_;
  io::job job_;
};

}  // namespace troupe::io
