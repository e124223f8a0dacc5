/// The reference: the frozen policy that PPO must not stray from. Gives log-probabilities of finished answers. The
/// policy itself is asked so too, about answers that an older one sampled.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/scoring.hpp"
#include "actors/models/model_files.hpp"
#include "actors/models/trained_model.hpp"
#include "actors/protocol/interfaces.hpp"

#include <caf/all.hpp>

#include <optional>

namespace troupe::actors {

struct reference_settings {
  device_ptr on;
  model_ptr of;
  trained_model_ptr learning;  ///< the policy itself: its turn is taken; null: the model is frozen
  scorer by = scorer::reference;
  float temperature = 1.0F;  ///< of the rollout
  int64_t micro_batch_tokens = 2048;
  caf::actor replay;
};

class reference_state {
public:
  static inline const char* name = "reference";

  void open(reference_settings settings);

  // The handlers of reference_actor (interfaces.hpp).
  void keep(const sequence_handle& sequence) { scorer_->add(sequence); }
  score_reply score();

private:
  reference_settings settings_;
  std::optional<sequence_scorer> scorer_;
};

/// Spawn it detached: its handlers block while they work.
reference_actor::behavior_type reference(reference_actor::stateful_pointer<reference_state> self,
                                         reference_settings settings);

}  // namespace troupe::actors
