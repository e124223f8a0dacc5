/// The plan of PPO: each iteration rolls out, assembles and learns. One that diverges ends the run, or leads back to a
/// checkpoint (rollback.hpp).
#pragma once

#include "actors/director/checkpointing.hpp"
#include "actors/director/context.hpp"
#include "actors/director/phase_plan.hpp"

#include <string>

namespace troupe::actors {

class ppo_plan : public phase_plan {
public:
  ppo_plan(director_context& on, checkpointing& checkpoints)
      : on_(on), checkpoints_(checkpoints), total_(static_cast<uint64_t>(on.job().ppo.iterations)) {}

  task<> perform() override;

private:
  /// At the start, or where a checkpoint has led: drops what later iterations left, and evaluates the untrained policy.
  task<> begin();
  /// An iteration, to its record and checkpoint.
  task<> iterate();
  /// Its rollout, made experience and learned from, with what is mixed in. Fills in what the record is to say.
  task<> roll_out_and_learn(uint64_t iteration, metrics_record& line);

  director_context& on_;
  checkpointing& checkpoints_;
  uint64_t total_;  ///< iterations
};

}  // namespace troupe::actors
