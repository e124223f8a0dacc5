/// The supervisor of a run: owns the run directory, starts attempts, and brings together what tells of trouble and what
/// decides on it. It lives in the process that the user started, outside MPI, and outlives every rank.
///
/// Trouble shows in three ways, and the first decides: the launcher's process ends, the connection to a rank is lost,
/// or a rank falls silent or stands still. Then the whole attempt is ended, without waiting for Slurm to notice, and
/// the next one starts from the last checkpoint, elsewhere if a node is suspect. Each question has a class of its own:
///   attempt.hpp         is all well with the ranks of this attempt?
///   restart_policy.hpp  is there to be another attempt, and when?
///   launcher.hpp        where and how are ranks started?
///   host_watch.hpp      which hosts are fit for ranks?
///   crash_watch.hpp     is it one host that makes ranks crash?
///   card_watch.hpp      is it one card that fails?
///   guard_keeper.hpp    who watches the batch host?
///   run_history.hpp     what has happened so far?
#pragma once

#include "actors/director/metrics.hpp"
#include "actors/hosts/host_watch.hpp"
#include "actors/hosts/launcher.hpp"
#include "actors/protocol/file_patience.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/supervisor/attempt.hpp"
#include "actors/supervisor/card_watch.hpp"
#include "actors/supervisor/crash_watch.hpp"
#include "actors/supervisor/guard_keeper.hpp"
#include "actors/supervisor/restart_policy.hpp"
#include "actors/supervisor/run_history.hpp"
#include "actors/supervisor/stop_requests.hpp"
#include "base/awake_clock.hpp"
#include "base/console.hpp"
#include "io/job/job.hpp"
#include "io/run/ledger.hpp"
#include "io/run/run_directory.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {

/// How a run ended, for the user and the process's exit code.
struct run_result {
  actors::outcome outcome = actors::outcome::failed;
  std::string text;
};

/// The command line of each rank of an attempt.
using worker_command = std::function<std::vector<std::string>(uint64_t attempt, const launch_plan& plan)>;

struct supervisor_settings {
  io::job job;
  io::run_directory run;
  std::optional<allocation> given;  ///< by Slurm
  worker_command command;
  std::function<std::vector<std::string>()> guard;  ///< the command line of a guard
  metrics_actor metrics;
  console_ptr words;                       ///< hears what ranks say
  std::function<void(run_result)> on_end;  ///< called once, from the supervisor's thread
};

class supervisor_state {
public:
  static inline const char* name = "supervisor";

  explicit supervisor_state(supervisor_actor::stateful_pointer<supervisor_state> self);
  supervisor_actor::behavior_type make_behavior(supervisor_settings settings);

private:
  using clock = std::chrono::steady_clock;

  /// The time by which everything is judged here.
  clock::time_point now() { return awake_.now(); }

  // An attempt, from its start to its end.
  void start_attempt();
  launch_plan choose_hosts();
  void launch(launch_plan plan);
  void begin_direction();
  void follow_failure(bool refused);
  void try_again();
  /// No other supervisor has begun an attempt of this run.
  bool owns_run() const;
  void finish(run_result result);
  /// What becomes of a run that is to go back into the queue.
  run_result judge_requeue(run_result result) const;
  void shut_out_late_processes() const;

  // What comes.
  caf::result<caf::actor> welcome(const hello& words);
  void note_beat(const beat& sign);
  void note_exit(uint64_t number, int32_t wait_status);
  void note_result(const attempt_result& result);
  bool may_pass(const attempt_result& failed);
  void note_event(const ledger_note& event);
  void note_recovery();
  void note_down(const caf::down_msg& down);
  void note_lost_rank(int64_t rank, const caf::error& reason);
  void note_lost_director(const caf::error& reason);
  void judge_lost_rank();
  bool slurm_ends_ranks() const;
  void request_stop(int32_t signal);
  void stop_at_boundary(int32_t signal);
  void end_at_once();
  std::string what_is_awaited();

  void look_at_deadlines();
  void look_at_guards();
  void look_at_starting_hosts(clock::time_point now);
  /// The attempt cannot go on: kills what is left of it. The exit notice then decides about the next.
  void condemn(const trouble& why);
  void suspect(const std::set<std::string>& hosts);
  /// A card has failed, and the attempt with it.
  void note_lost_card(const std::string& failure);
  /// Whether the attempt that has ended tells against a host.
  void judge_crash();
  void dismiss_director();

  supervisor_actor::stateful_pointer<supervisor_state> self_;
  std::optional<supervisor_settings> settings_;
  // Made in make_behavior, and never empty afterwards, but for a history that cannot be opened: then the run is over.
  std::optional<run_history> history_;
  std::optional<restart_policy> restarts_;
  std::optional<host_watch> hosts_;
  crash_watch crashes_;
  card_watch cards_;
  std::optional<guard_keeper> guards_;

  int64_t last_attempt_ = 0;        ///< of the run, as far as this supervisor knows: nobody else may begin one
  std::optional<attempt> attempt_;  ///< the last one that was launched
  director_actor director_;         ///< of this attempt; null: ranks are missing, or it is dismissed
  clock::time_point failed_;        ///< when the failure was found from which the run has not recovered yet; 0: none
  awake_clock awake_;
  caf::actor heart_;
  file_patience files_;
  bool node_failed_ = false;     ///< since the last checkpoint, and was tried again (may_pass)
  bool wait_for_files_ = false;  ///< before the next attempt
  stop_requests stops_;
  /// A rank whose connection is gone, while its launcher may still tell how it ended: since when it waits for that.
  std::optional<std::pair<int64_t, clock::time_point>> lost_rank_;
  bool over_ = false;
};

supervisor_actor::behavior_type supervisor(supervisor_actor::stateful_pointer<supervisor_state> self,
                                           supervisor_settings settings);

}  // namespace troupe::actors
