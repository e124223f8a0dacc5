/// The director of an attempt: turns the job's phases into commands to the ranks' casts. It holds no tensors; what it
/// keeps (counters, controller state, running moments) is a few numbers that go into each checkpoint. The plan of each
/// phase is a coroutine that reads from top to bottom (task.hpp): director_supervised.cpp, director_pairs.cpp,
/// director_ppo.cpp, and director_rollout.cpp for what the last two share.
#pragma once

#include "actors/director/metrics.hpp"
#include "actors/protocol/concurrent_tasks.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/task.hpp"
#include "actors/stage/stage.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <caf/all.hpp>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe::actors {

struct director_settings {
  io::job job;
  io::run_directory run;
  uint64_t attempt = 0;
  std::set<std::string> finished_phases;
  std::vector<stage_actor> stages;  ///< by rank
  metrics_actor metrics;
  caf::actor supervisor;
};

/// Thrown in the middle of a rollout, when nothing has been learned from it yet: it can be dropped and redone.
struct stop_requested {};

class director_state {
public:
  static inline const char* name = "director";

  explicit director_state(director_actor::stateful_pointer<director_state> self) : self_(self) {}
  void open(director_settings settings);
  void request_stop() { stopping_ = true; }

private:
  /// What a supervised phase (sft, reward) does differently from the other.
  struct supervised_plan;
  /// A rollout under way, for the plans that work on it side by side.
  struct rollout_progress;
  using shared_rollout = std::shared_ptr<rollout_progress>;
  using shared_statistics = std::shared_ptr<statistics>;
  /// A part of the cast that scores sequences.
  struct scoring_part {
    caf::strong_actor_ptr cast::*by = nullptr;
    std::string name;
  };
  /// Parts that share ranks, and so score one after the other.
  using crew = std::vector<scoring_part>;

  // Plans. Each ends early, leaving a checkpoint, when a stop is requested.
  task<> perform();
  task<> perform_phase(io::phase phase);
  task<> pairs();
  task<> supervised(supervised_plan plan);
  task<> ppo();
  task<> begin_ppo();

  // Steps that the plans share.
  task<> set_stage(const std::string& phase);
  /// What a phase goes on from, and what was passed over.
  struct checkpoint_search {
    located_checkpoint found;
    std::vector<std::string> problems;  ///< of damaged ones, the newest first
    double seconds = 0;
  };
  task<checkpoint_search> find_checkpoint(uint64_t before);
  task<> restore(const std::string& phase);
  task<> restore_from(const std::string& phase, checkpoint_search search);
  task<> cut_records(const std::string& phase, int64_t counter);
  task<> checkpoint_if_due(bool last);
  bool checkpoint_due(bool last) const;
  task<> take_checkpoint();
  /// How long training stood still for a checkpoint, in s.
  struct standstill {
    double copy_s = 0;  ///< the copy, on the slowest rank
    double all_s = 0;   ///< and until the checkpoint before it was written, where that was still going on
    double waited_s() const { return all_s - copy_s; }
  };
  task<standstill> copy_for_checkpoint();
  void commit_when_written(standstill stood);
  /// Errors  that with which a checkpoint could not be written.
  void require_checkpoints() const;
  /// The end of an update or iteration: its record, with the time that a checkpoint's copy took, and the checkpoint.
  task<> close(metrics_record line, bool last);
  bool note_best(const statistics& evaluated);
  best_so_far best() const;
  task<> await_durable();
  task<> finish_checkpoint();
  task<> save_models();
  io::attempt_fence fence() const { return settings_->run.fence(static_cast<int64_t>(settings_->attempt)); }
  task<> record(metrics_record values);
  task<statistics> evaluate_held_out(caf::strong_actor_ptr cast::*trainee);
  task<serve_reply> serve(serving what, uint64_t counter);

  // Rollouts.
  task<statistics> roll_out(serving prompts, uint64_t draw);
  task<> generate(serve_reply served, shared_rollout on);
  task<> generate_all(serve_reply served, shared_rollout on);
  task<> hand_over(shared_rollout on);
  task<> score(crew parts, shared_rollout on);
  task<score_reply> score_waiting(scoring_part part);
  std::vector<crew> crews() const;

  // PPO.
  task<assemble_reply> assemble(uint64_t iteration, bool training, std::string keep);
  task<statistics> evaluate_policy(uint64_t iteration);
  task<statistics> learn(uint64_t iteration);
  task<> update_policy(serve_reply batch, shared_statistics out);
  task<> update_critic(serve_reply batch, shared_statistics out);
  task<> update_both(serve_reply batch, shared_statistics policy, shared_statistics critic);
  task<statistics> iterate(uint64_t iteration, metrics_record& line);
  task<> roll_back(std::string reason, uint64_t iteration);
  std::string set_aside(std::string reason, uint64_t iteration, int64_t rollback) const;
  void drop_later_experience() const;
  task<checkpoint_search> find_sound_checkpoint(std::string reason);

  /// A part of the cast on all ranks that have it, by rank: all of them compute, each its own share.
  template <class Handle> std::vector<Handle> everyone(caf::strong_actor_ptr cast::*part) const {
    std::vector<Handle> handles;
    for (const cast& one : company_) {
      if (one.*part) {
        handles.push_back(caf::actor_cast<Handle>(one.*part));
      }
    }
    return handles;
  }
  bool has(caf::strong_actor_ptr cast::*part) const;
  /// Whether a rank has both. Parts that share none may work at the same time: a rank does one thing after the other.
  bool share_ranks(caf::strong_actor_ptr cast::*one, caf::strong_actor_ptr cast::*other) const;
  int64_t updates_of(const io::training_options& training) const;
  uint64_t total_of(const std::string& phase) const;
  // Of the ppo phase.
  int64_t ppo_updates() const;
  uint64_t updates_done() const;
  /// The optimizer step of the update under way. Each rollback halves the learning rates.
  step_command due_step(const io::optimizer_options& options) const;
  void drop_old_experience();
  /// The counter of "phase_started" is that of the phase's end: what goes by epochs is known here alone.
  void note(const std::string& kind, const std::string& phase, uint64_t counter, const std::string& text = "");
  void show(const std::string& part, uint64_t done, uint64_t total, const std::string& unit,
            const std::string& summary);

  director_actor::stateful_pointer<director_state> self_;
  std::optional<director_settings> settings_;
  task<> plan_;
  bool stopping_ = false;
  bool evaluating_ = false;  ///< a rollout that a stop must not interrupt

  concurrent_tasks concurrent_;
  std::vector<cast> company_;  ///< the casts of all ranks; each has found the same data
  phase_state state_;          ///< of the phase under way
  phase_state checkpointed_;   ///< of the last checkpoint ordered, or that of the phase's start
  std::optional<error> checkpoint_failure_;
};

director_actor::behavior_type director(director_actor::stateful_pointer<director_state> self,
                                       director_settings settings);

}  // namespace troupe::actors
