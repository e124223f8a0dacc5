/// The optimizer of one trained model: takes the gradients that have been accumulated, clips, steps.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/interfaces.hpp"

#include <caf/all.hpp>

namespace troupe::actors {

struct optimizer_settings {
  device_ptr on;
  role as = role::policy_optimizer;  ///< whose
  trained_model_ptr trained;
};

struct optimizer_state {
  static inline const char* name = "optimizer";

  step_reply step(const step_command& command);
  /// What the model's communicators have counted.
  engine::traffic counted() const;

  optimizer_settings settings;
  engine::traffic reported;  ///< counted until the last step
};

optimizer_actor::behavior_type optimizer(optimizer_actor::stateful_pointer<optimizer_state> self,
                                         optimizer_settings settings);

}  // namespace troupe::actors
