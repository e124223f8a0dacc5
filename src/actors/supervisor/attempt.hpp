/// One attempt: one launch of the ranks, from the launcher's start to its end. It starts, then works, until either its
/// director has a result (the ranks are told to go) or it is condemned (they are killed); the first of the two decides.
///
/// Owns the launcher's process, which has a thread that waits for it (child_process.hpp), and what is known of the
/// ranks. Called by one thread, the supervisor's. Trouble that only a clock tells is found here; what follows is
/// decided elsewhere.
#pragma once

#include "actors/hosts/child_process.hpp"
#include "actors/hosts/launcher.hpp"
#include "actors/protocol/messages.hpp"
#include "actors/supervisor/rank_watch.hpp"
#include "base/console.hpp"
#include "io/job/job.hpp"
#include "io/run/ledger.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace troupe::actors {

/// Why an attempt cannot go on.
struct trouble {
  io::ledger_kind kind = io::ledger_kind::worker_failed;
  int64_t rank = -1;                  ///< whose fault it is; negative: unknown
  std::optional<standstill> at = {};  ///< what it hangs in; none: it is not known to hang
  std::string reason;
  io::ledger_fields fields = {};
  std::set<std::string> suspects = {};  ///< hosts
};

/// A card that has failed.
struct lost_card {
  std::string node;             ///< Slurm's name of its host; empty outside of Slurm
  std::string host;             ///< as the host calls itself
  int64_t number = 0;           ///< among those that ranks there are shown
  std::optional<int64_t> rank;  ///< that has it, as far as the plan tells
};

class attempt {
public:
  using clock = rank_watch::clock;

  /// Starts the launcher. `on_exit` is called once, on a thread of its own, with its wait status; `words` hears what
  /// launcher and ranks say. `now`, here and below, is of one clock of the caller's.
  /// Errors  io_failure.
  attempt(uint64_t number, launch_plan plan, const launch_command& start, std::function<void(int wait_status)> on_exit,
          console_ptr words, clock::time_point now);

  uint64_t number() const { return number_; }
  const launch_plan& plan() const { return plan_; }
  clock::time_point started() const { return started_; }
  rank_watch& ranks() { return ranks_; }
  const rank_watch& ranks() const { return ranks_; }

  /// The card that the text of a failure names; none: it names none of a host with ranks, or its number tells nothing.
  std::optional<lost_card> card_in(const std::string& failure) const;

  /// The director's result has come.
  void conclude(const attempt_result& result, clock::time_point now);
  const std::optional<attempt_result>& result() const { return result_; }

  /// It cannot go on: ends what is left of it.
  void condemn(const std::string& reason, clock::time_point now);
  bool condemned() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }  ///< empty: not condemned
  /// How the ranks of a condemned attempt ended: a lost connection alone does not say what became of the other side.
  void note_end(int wait_status);

  /// Only the launcher's end is missing.
  bool ending() const { return condemned() || result_.has_value(); }
  /// Ends what is left of it with all force.
  void kill() const;
  /// Kills a launcher that does not end: one that waits for a dead node, or whose ranks do not go.
  void hasten_end(const io::recovery_section& limits, clock::time_point now);

  /// What launcher and ranks have said, once the launcher has ended.
  last_words said() const { return launcher_ ? launcher_->said() : last_words(); }

  /// Slurm has not started the ranks, and has ended with this status.
  bool refused(int wait_status) const;

  /// The launcher's process is gone, or killed.
  void release() { launcher_.reset(); }
  bool released() const { return launcher_ == nullptr; }

  /// What is overdue: ranks that have not reported, a rank that is silent, one that stands still. None: all is well.
  std::optional<trouble> overdue(const io::recovery_section& limits, clock::time_point now) const;

  /// The launcher has ended though the work was not done. Its last words are a part of the reason.
  trouble untimely_end(int wait_status) const;

private:
  bool ends_in_order() const;
  std::optional<trouble> overdue_sign(const io::recovery_section& limits, clock::time_point now) const;
  std::optional<trouble> overdue_start(const io::recovery_section& limits, clock::time_point now) const;
  /// Slurm's names of the hosts of these ranks.
  std::set<std::string> hosts_of(const std::vector<int64_t>& ranks) const;
  /// Where ranks have not reported though others have.
  std::set<std::string> unheard_hosts() const;

  uint64_t number_ = 0;
  launch_plan plan_;
  clock::time_point started_;
  rank_watch ranks_;
  std::unique_ptr<child_process> launcher_;
  std::optional<attempt_result> result_;
  std::string failure_;
  clock::time_point ending_since_;  ///< or since it was last hastened
};

}  // namespace troupe::actors
