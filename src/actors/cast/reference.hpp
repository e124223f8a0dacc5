/// The reference: the frozen policy that PPO must not stray from. Gives log-probabilities of finished answers.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/scoring.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/interfaces.hpp"

#include <caf/all.hpp>

namespace troupe::actors {

struct reference_settings {
  device_ptr on;
  model_ptr of;
  float temperature = 1.0F;  ///< of the rollout
  int64_t micro_batch_tokens = 2048;
  caf::actor replay;
};

struct reference_state {
  static inline const char* name = "reference";

  score_reply score();

  reference_settings settings;
  scoring_queue queue;
};

reference_actor::behavior_type reference(reference_actor::stateful_pointer<reference_state> self,
                                         reference_settings settings);

}  // namespace troupe::actors
