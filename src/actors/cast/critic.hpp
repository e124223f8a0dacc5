/// The critic: estimates, before each answer token, what reward is still to come; and learns to.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/scoring.hpp"
#include "actors/cast/shelf.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/type_ids.hpp"
#include "engine/train/micro_batch.hpp"
#include "io/job/job.hpp"

#include <caf/all.hpp>

#include <memory>

namespace troupe::actors {

using critic_actor = caf::typed_actor<
    // A finished sequence, queued: this rank's share, from replay.
    caf::reacts_to<sequence_handle>,
    // A minibatch from replay, kept until a command names it.
    caf::reacts_to<minibatch_handle>,
    // Values of queued sequences; the parts go to replay.
    caf::replies_to<score_atom, score_command>::with<score_reply>,
    // Gradients of a minibatch, accumulated for the optimizer.
    caf::replies_to<train_atom, train_command>::with<train_reply>>;

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
  score_reply score(const score_command& command);
  train_reply train(const train_command& command);

private:
  critic_settings settings_;
  scoring_queue queue_;
  std::unique_ptr<engine::train_workspace> workspace_;
  shelf<minibatch_handle> minibatches_{"the critic"};
};

critic_actor::behavior_type critic(critic_actor::stateful_pointer<critic_state> self, critic_settings settings);

}  // namespace troupe::actors
