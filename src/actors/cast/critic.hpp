/// The critic: estimates, before each answer token, what reward is still to come; and learns to.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/pending_batches.hpp"
#include "actors/cast/scoring.hpp"
#include "actors/cast/trainer.hpp"
#include "actors/models/trained_model.hpp"
#include "actors/protocol/interfaces.hpp"
#include "engine/objectives/ppo.hpp"

#include <caf/all.hpp>

#include <optional>

namespace troupe::actors {

struct critic_settings {
  device_ptr on;
  trained_model_ptr trained;
  bool activation_checkpointing = false;
  engine::value_settings loss;
  int64_t micro_batch_tokens = 2048;  ///< of sequences that are scored
  caf::actor replay;
};

class critic_state {
public:
  static inline const char* name = "critic";

  void open(critic_settings settings);

  // The handlers of critic_actor (interfaces.hpp).
  void keep(const sequence_handle& sequence) { scorer_->add(sequence); }
  void keep(const minibatch_handle& batch) { experience_.add(batch); }
  score_reply score();
  train_reply train(const train_command& command);

private:
  critic_settings settings_;
  std::optional<sequence_scorer> scorer_;
  std::optional<trainer> trainer_;
  pending_batches<minibatch_handle> experience_{"the critic"};
};

/// Spawn it detached: its handlers block while they work.
critic_actor::behavior_type critic(critic_actor::stateful_pointer<critic_state> self, critic_settings settings);

}  // namespace troupe::actors
