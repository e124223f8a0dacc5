/// The director of an attempt: has the casts perform the job's phases, one after the other. It holds no tensors; what
/// it keeps (counters, controller state, running moments) is a few numbers that go into each checkpoint.
///
/// Each phase has a plan, a coroutine that reads from top to bottom (protocol/task.hpp):
///   supervised_plan.hpp  sft, reward      pairs_plan.hpp  pairs      ppo_plan.hpp  ppo      replay_plan.hpp  replay
/// The plans share what is in files of its own:
///   context.hpp      whom to ask, how far the phase is    checkpointing.hpp  what a phase goes on from, and leaves
///   rollout.hpp      answers, generated and scored        assembly.hpp       answers made experience
///   update.hpp       one step of one model                learning.hpp       the updates of an iteration
///   recall.hpp       a rollout that is stored             lesson.hpp         from experience to the KL's controller
///   evaluation.hpp   on the held-out split                rollback.hpp       the way back from a divergence
#pragma once

#include "actors/director/checkpointing.hpp"
#include "actors/director/context.hpp"
#include "actors/director/phase_plan.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/task.hpp"
#include "io/job/job.hpp"

#include <caf/all.hpp>

#include <memory>
#include <optional>

namespace troupe::actors {

class director_state {
public:
  static inline const char* name = "director";

  explicit director_state(director_actor::stateful_pointer<director_state> self) : self_(self) {}
  void open(director_settings settings);
  void request_stop() { context_->request_stop(); }

private:
  /// All phases that are not finished yet.
  task<> perform();
  task<> perform_and_report();
  /// Whether the phases have come to their end, or a stop has come first.
  task<outcome> perform_phases();
  std::unique_ptr<phase_plan> plan_of(io::phase phase);

  director_actor::stateful_pointer<director_state> self_;
  std::optional<director_context> context_;
  std::optional<checkpointing> checkpoints_;
  std::unique_ptr<phase_plan> plan_;  ///< stays after a failure: replies may still come, and tasks go on with them
  task<> performance_;
};

director_actor::behavior_type director(director_actor::stateful_pointer<director_state> self,
                                       director_settings settings);

}  // namespace troupe::actors
