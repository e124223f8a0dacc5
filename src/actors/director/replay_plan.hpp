/// The plan of the replay phase: the updates of another run's ppo phase, made again from its stored experience. What a
/// stored rollout takes the place of is generation and scoring; what follows is that of the ppo phase.
#pragma once

#include "actors/director/checkpointing.hpp"
#include "actors/director/context.hpp"
#include "actors/director/phase_plan.hpp"
#include "io/run/replayed_run.hpp"

#include <cstdint>
#include <string>

namespace troupe::actors {

class replay_plan : public phase_plan {
public:
  /// Errors  those of io::replayed_run.
  replay_plan(director_context& on, checkpointing& checkpoints)
      : on_(on), checkpoints_(checkpoints), source_(on.job().replay.of),
        total_(static_cast<uint64_t>(on.job().replay.to_iteration)) {}

  task<> perform() override;

private:
  bool is_start() const;
  /// The state that the first iteration begins with: the replayed run's, but for what the job has changed.
  void settle();
  /// The first iteration after those done whose experience is there.
  uint64_t next_after(uint64_t done) const;
  /// Whether the policy before it is, to the last bit, the one that sampled it.
  bool is_as_sampled(uint64_t iteration) const;
  recall_command stored(uint64_t iteration) const;
  task<> iterate();
  /// Errors  bad_argument: the policy is too far from the one that sampled.
  void require_near(const statistics& of, uint64_t iteration) const;
  std::string file_of(uint64_t iteration) const;

  director_context& on_;
  checkpointing& checkpoints_;
  io::replayed_run source_;
  uint64_t total_;  ///< the last iteration
};

}  // namespace troupe::actors
