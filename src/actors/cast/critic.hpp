/// The critic: estimates, before each answer token, what reward is still to come; and learns to.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/scoring.hpp"
#include "actors/cast/shelf.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/interfaces.hpp"
#include "engine/train/micro_batch.hpp"
#include "io/job/job.hpp"

#include <caf/all.hpp>

#include <memory>

namespace troupe::actors {

struct critic_settings {
  io::job job;
  device_ptr on;
  trained_model_ptr trained;
  caf::actor replay;
};

class critic_state {
public:
  static inline const char* name = "critic";

  void open(critic_settings settings);
  void keep(const sequence_handle& sequence) { queue_.add(sequence); }
  void keep(const minibatch_handle& batch) { minibatches_.keep(batch); }
  score_reply score();
  train_reply train(const train_command& command);

private:
  critic_settings settings_;
  scoring_queue queue_;
  std::unique_ptr<engine::train_workspace> workspace_;
  shelf<minibatch_handle> minibatches_{"the critic"};
};

critic_actor::behavior_type critic(critic_actor::stateful_pointer<critic_state> self, critic_settings settings);

}  // namespace troupe::actors
