/// What follows an attempt that failed: another at once, another after a pause, or the end of the run. Numbers and
/// decisions only; hosts are left out by host_watch, and the job goes back into the queue where launcher.hpp finds too
/// few.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace troupe::actors {

class restart_policy {
public:
  using clock = std::chrono::steady_clock;

  /// `restarts`: attempts in a row without a new checkpoint before the run gives up.
  explicit restart_policy(int64_t restarts) : restarts_(restarts) {}

  /// There is a new checkpoint, or a phase is finished: what failed before no longer counts.
  void note_progress();

  /// The attempt under way has got this far: "sft 7".
  void note_step(std::string step) { step_ = std::move(step); }

  const std::string& step() const { return step_; }

  /// All ranks of an attempt have reported: Slurm, where it starts them, is set up as it must be.
  void note_launch();

  /// `launched`: all ranks of the attempt had reported.
  void note_failure(bool launched);

  /// Slurm has not started the ranks (is_refusal in launcher.hpp), and nothing of the job has been tried: this does not
  /// count against `restarts`, but has a patience of its own.
  void note_refusal(clock::time_point now);

  /// Failures in a row without progress, and launches in a row that failed.
  int64_t failures() const { return failures_; }
  int64_t failed_launches() const { return failed_launches_; }
  int64_t refusals() const { return refusals_; }  ///< launches in a row that Slurm refused
  int64_t restarts() const { return restarts_; }

  bool gives_up() const;

  /// Why it gives up, for the user: where failures came at one and the same step this is the job's own doing, and is
  /// said. `last`: why the last attempt failed; `hosts`: where ranks crashed meanwhile.
  std::string parting_words(const std::string& last, const std::set<std::string>& hosts = {}) const;

  /// Before the next launch. None after an attempt that had been launched. The launch itself failed: a rank may have
  /// died by chance; if it happens again, a node may be coming back, or Slurm not be done with the last step, so that
  /// it is longer each time.
  std::chrono::milliseconds pause() const;

private:
  void end_refusals();

  int64_t restarts_ = 0;
  int64_t failures_ = 0;
  std::string step_, failed_after_;
  int64_t alike_ = 0;  ///< failures in a row after the same step
  int64_t failed_launches_ = 0;
  bool launched_ = false;  ///< some time
  std::optional<clock::time_point> refused_since_;
  clock::duration refused_for_{};
  int64_t refusals_ = 0;  ///< in a row
};

}  // namespace troupe::actors
