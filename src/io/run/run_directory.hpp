/// The folder of a run: where everything lies, who owns it, which attempt may write, and its
/// ledger.
#pragma once

#include "io/files/attempt_fence.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace troupe::io {

struct job;

/// Where everything lies in a run, and the few files that need no reader of their own. Holds no open file.
class run_directory {
public:
  /// For a worker or a reader: the folder of an existing run.
  /// Errors  not_found; bad_argument: not a run.
  static run_directory open(const std::filesystem::path& root);

  /// For the supervisor: opens, or creates where there is nothing or an empty folder.
  /// Errors  bad_argument: a non-empty folder that is not a run; io_failure.
  static run_directory open_or_create(const std::filesystem::path& root);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path job() const { return root_ / "job.ini"; }
  std::filesystem::path lock() const { return root_ / "lock"; }
  std::filesystem::path attempt_file() const { return root_ / "attempt"; }
  std::filesystem::path ledger() const { return root_ / "ledger.jsonl"; }
  std::filesystem::path log() const { return root_ / "log.txt"; }  ///< what `troupe run` said
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path tensorboard() const { return root_ / "tensorboard"; }
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path experience() const { return root_ / "experience"; }
  std::filesystem::path experience(int64_t iteration) const;
  std::filesystem::path rollouts() const { return root_ / "rollouts"; }        ///< parts of rollouts that are under way
  std::filesystem::path evaluations() const { return root_ / "evaluations"; }  ///< experience of held-out prompts
  std::filesystem::path evaluation(int64_t iteration) const;
  std::filesystem::path models() const { return root_ / "models"; }
  std::filesystem::path model(const std::string& name) const { return models() / name; }
  std::filesystem::path control() const { return root_ / "control"; }  ///< credentials of supervisor and ranks

  /// Slurm's number of the job that the run was last submitted or started by; empty: none, or it was started without.
  std::string slurm_job() const;
  /// Empty: it is started without Slurm.
  /// Errors  io_failure.
  void note_slurm_job(const std::string& id) const;

  /// The job of the run, as it was last started. Models and data that it names may have gone since.
  /// Errors  not_found, io_failure, bad_argument: from the run's job.ini.
  io::job recorded_job() const;

  /// The number of the attempt that may write; 0 before the first.
  /// Errors  bad_file.
  int64_t attempt() const;

  /// Begins the attempt after `last`, the latest that the caller knows of, and returns its number. Older attempts can
  /// write nothing from then on. The lock must be held.
  /// Errors  interrupted: `last` was not the latest one (this process has lost the lock without noticing);
  ///         io_failure: an older attempt's folder cannot be removed.
  int64_t begin_attempt(int64_t last) const;
  int64_t begin_attempt() const { return begin_attempt(attempt()); }

  /// The two steps of begin_attempt, for who bears with a disk that is full for a moment: the number, and the new
  /// attempt's fence.
  int64_t number_attempt(int64_t last) const;
  void fence_attempt(int64_t attempt) const;

  /// Shuts out whatever is left of the latest attempt. The lock must be held.
  void end_attempt() const;

  /// Errors  interrupted: another attempt has begun since.
  void require_attempt(int64_t attempt) const;

  /// By which an attempt changes the run's files.
  attempt_fence fence(int64_t attempt) const;

  /// Bytes that this user may still write on the run's file system.
  int64_t free_bytes() const;

private:
  void remove_fences() const;
  explicit run_directory(std::filesystem::path root) : root_(std::move(root)) {}
  std::filesystem::path root_;
};

/// The run's exclusive lock, held until destroyed or the process ends, however it ends; children do
/// not inherit it.
class run_lock {
public:
  /// Errors  bad_argument: another process holds it (names its pid and host); io_failure.
  explicit run_lock(const run_directory& run);
  ~run_lock();
  run_lock(run_lock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  run_lock& operator=(run_lock&&) = delete;

private:
  int descriptor_ = -1;
};

/// Whether somebody holds the lock of an open lock file. Takes nothing, so that nobody's start fails for it.
bool is_locked(int descriptor);

}  // namespace troupe::io
