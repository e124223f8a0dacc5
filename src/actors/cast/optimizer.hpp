/// The optimizer of one trained model: takes the gradients that have been accumulated, clips, steps.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/models/trained_model.hpp"
#include "actors/protocol/interfaces.hpp"
#include "engine/parallel/communicator.hpp"

#include <caf/all.hpp>

namespace troupe::actors {

struct optimizer_settings {
  device_ptr on;
  role as = role::policy_optimizer;  ///< whose
  trained_model_ptr trained;
};

class optimizer_state {
public:
  static inline const char* name = "optimizer";

  void open(optimizer_settings settings) { settings_ = std::move(settings); }
  step_reply step(const step_command& command);
  /// Drops the gradients that have been accumulated.
  void discard();

private:
  /// What the model's communicators have sent and waited for since they were opened.
  engine::traffic traffic_so_far() const;

  optimizer_settings settings_;
  engine::traffic reported_;  ///< until the last step
};

/// Spawn it detached: its handlers block while they work.
optimizer_actor::behavior_type optimizer(optimizer_actor::stateful_pointer<optimizer_state> self,
                                         optimizer_settings settings);

}  // namespace troupe::actors
