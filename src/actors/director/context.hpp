/// What the plans of an attempt have in common, and get by reference: whom to ask, how far the phase is, whether to
/// stop, and where reports go. A context lives as long as its director, and so longer than any task of a plan.
#pragma once

#include "actors/director/company.hpp"
#include "actors/director/doubts.hpp"
#include "actors/protocol/concurrent_tasks.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/task.hpp"
#include "io/job/job.hpp"
#include "io/run/ledger_kind.hpp"
#include "io/run/run_directory.hpp"

#include <caf/all.hpp>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {

struct director_settings {
  io::job job;
  io::run_directory run;
  uint64_t attempt = 0;
  std::set<io::phase> finished_phases;
  std::vector<stage_actor> stages;  ///< by rank
  metrics_actor metrics;
  caf::actor supervisor;
};

/// Thrown in the middle of a rollout, when nothing has been learned from it yet: it can be dropped and done again.
struct stop_requested {};

class director_context {
public:
  director_context(director_actor::pointer self, director_settings settings)
      : self_(self), settings_(std::move(settings)) {}

  director_actor::pointer self() const { return self_; }
  const io::job& job() const { return settings_.job; }
  const io::run_directory& run() const { return settings_.run; }
  uint64_t attempt() const { return settings_.attempt; }
  io::attempt_fence fence() const { return settings_.run.fence(static_cast<int64_t>(settings_.attempt)); }

  /// The user wants the run to end at the next boundary.
  void request_stop() { stopping_ = true; }
  bool stopping() const { return stopping_; }

  /// Has every rank set the stage for a phase, which begins at counter 0.
  task<> set_stage(io::phase phase);
  const actors::company& company() const { return company_; }

  /// How far the phase is that is under way.
  const phase_state& state() const { return state_; }
  phase_state& state() { return state_; }

  /// For tasks at the same time, which may outlive the plan that began them.
  concurrent_tasks& concurrent() { return concurrent_; }

  /// Asks a part of the cast on all ranks that have it. The awaited value is their replies, by rank.
  /// Errors  those of the first request that failed.
  template <class Handle, class Reply, class... Message> auto ask_all(cast_part part, Message... message) const {
    return ask_everyone<Reply>(self_, company_.everyone<Handle>(part), std::move(message)...);
  }
  /// Asks a part of the cast on the first rank that has it.
  template <class Handle, class Reply, class... Message> auto ask_first(cast_part part, Message... message) const {
    return ask<Reply>(self_, company_.everyone<Handle>(part).front(), std::move(message)...);
  }

  /// Has the loaders serve a batch, and says what it holds.
  task<serve_reply> serve(serving what, uint64_t counter);

  /// Writes a line of metrics; phase and attempt are filled in.
  /// Errors  io_failure.
  task<> record(metrics_record line);
  /// Drops what this phase recorded beyond a counter (negative: all of it), and all that later phases did that are not
  /// finished.
  /// Errors  io_failure.
  task<> truncate_records(int64_t counter);
  /// Tells the terminal how far the phase is. `doing`: what goes on within an update; empty: one has ended.
  void show(std::string doing, uint64_t total, std::string unit, std::string summary);

  /// Writes to the ledger, about this phase. The counter of phase_started is the one that the phase will end with.
  void note(io::ledger_kind kind, uint64_t counter, std::string text = "");
  void note(ledger_note event);

  /// Says on the terminal and in the ledger what is almost surely not meant (doubts.hpp); each once in an attempt.
  void doubt(const std::vector<std::string>& doubts);

  bool finished(io::phase phase) const { return settings_.finished_phases.contains(phase); }
  /// This phase has come to its end, and left all that it is to leave.
  void finish_phase();

  /// Tells the supervisor how the attempt has ended.
  void report(attempt_result result) { caf::anon_send(settings_.supervisor, std::move(result)); }

private:
  director_actor::pointer self_;
  director_settings settings_;
  bool stopping_ = false;
  actors::company company_;
  phase_state state_;
  concurrent_tasks concurrent_;
  doubtful doubts_;
};

}  // namespace troupe::actors
