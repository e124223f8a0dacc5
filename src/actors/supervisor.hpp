/// The supervisor of a run: owns the run directory and its ledger, starts attempts, detects failure, decides what
/// happens next. It lives in the process that the user started, outside MPI, and outlives every rank.
///
/// Trouble shows in three ways, and the first decides: the launcher's process ends, the connection to a rank is lost, or
/// a rank falls silent or stands still. Then the whole attempt is ended, without waiting for Slurm to notice, and the
/// next one starts from the last checkpoint, elsewhere if a node is suspect.
#pragma once

#include "actors/child_process.hpp"
#include "actors/director.hpp"
#include "actors/host_probe.hpp"
#include "actors/launcher.hpp"
#include "actors/metrics.hpp"
#include "actors/rank_watch.hpp"
#include "actors/type_ids.hpp"
#include "io/job.hpp"
#include "io/ledger.hpp"
#include "io/run_directory.hpp"
#include "kernels/base/keys.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace troupe::actors {

using supervisor_actor = caf::typed_actor<
    // The control channel is open: start the first attempt.
    caf::reacts_to<run_atom>,
    // A rank's first words; answered with the supervisor's consent. Refused: another attempt's rank.
    caf::replies_to<hello>::with<note_atom>,
    // A rank's sign of life.
    caf::reacts_to<beat_atom, beat>,
    // From the director: something for the ledger (kind, phase, counter, text).
    caf::reacts_to<note_atom, std::string, std::string, uint64_t, std::string>,
    // From the director: the plan has ended.
    caf::reacts_to<attempt_result>,
    // The user wants the run to stop at the next boundary (the signal's number).
    caf::reacts_to<stop_atom, int32_t>,
    // INTERNAL: the launcher of this attempt has ended with this wait status.
    caf::reacts_to<exited_atom, uint64_t, int32_t>,
    // INTERNAL: time for the next attempt.
    caf::reacts_to<retry_atom>,
    // INTERNAL: time to look at the deadlines.
    caf::reacts_to<tick_atom>>;

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
  std::function<void(run_result)> on_end;  ///< called once, from the supervisor's thread
};

class supervisor_state {
public:
  static inline const char* name = "supervisor";

  explicit supervisor_state(supervisor_actor::stateful_pointer<supervisor_state> self) : self_(self) {}
  supervisor_actor::behavior_type make_behavior(supervisor_settings settings);

private:
  using clock = std::chrono::steady_clock;

  void start_attempt();
  void launch();
  void keep_guards();
  void begin_direction();
  caf::result<note_atom> welcome(const hello& words);
  void note_beat(const beat& sign);
  void note_exit(uint64_t attempt, int32_t wait_status);
  void note_result(const attempt_result& result);
  void note_event(const std::string& kind, const std::string& phase, uint64_t counter, const std::string& text);
  void request_stop(int32_t signal);
  void look_at_deadlines();
  void note_lost_connection(const caf::down_msg& down);
  /// The attempt cannot go on: kills what is left of it. The exit notice then decides about the next. `rank`: whose fault
  /// it is; negative: unknown.
  void condemn(io::ledger_kind kind, int64_t rank, const std::string& reason,
               std::vector<std::pair<std::string, key_value>> fields = {});
  void look_at_start(clock::time_point now);
  void prepare_probe();
  void probe_hosts();
  bool plan_has_silent_host() const;
  void suspect_silent_hosts();
  void suspect_unheard_hosts();
  void look_for_lost_hosts();
  std::set<std::string> excluded_hosts() const;
  void dismiss_director();
  void restart_or_give_up();
  void finish(run_result result);
  void append(io::ledger_kind kind, std::vector<std::pair<std::string, key_value>> fields = {});

  supervisor_actor::stateful_pointer<supervisor_state> self_;
  std::optional<supervisor_settings> settings_;
  std::optional<io::ledger_writer> ledger_;
  std::set<std::string> finished_phases_;

  uint64_t attempt_ = 0;
  launch_plan plan_;
  std::unique_ptr<child_process> child_;
  std::unique_ptr<child_process> guards_, guards_before_;
  std::vector<std::string> guarded_;  ///< the hosts that guards_ were started on
  director_actor director_;
  rank_watch ranks_;
  host_records hosts_;
  std::optional<host_probe> probe_;       ///< in an allocation of several hosts
  std::set<std::string> silent_hosts_;    ///< that did not answer the last probe
  std::set<std::string> lost_hosts_;      ///< that the job no longer has
  std::optional<attempt_result> result_;  ///< of this attempt's director
  std::string failure_;                   ///< why this attempt was condemned
  clock::time_point started_, result_time_, failed_, condemned_, last_look_;
  int64_t failures_in_a_row_ = 0;
  int64_t failed_launches_ = 0;  ///< in a row
  int32_t stop_signal_ = 0;
  bool over_ = false;
};

supervisor_actor::behavior_type supervisor(supervisor_actor::stateful_pointer<supervisor_state> self,
                                           supervisor_settings settings);

}  // namespace troupe::actors
