/// The exponential moving average of the policy's weights, folded in once per update.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/interfaces.hpp"
#include "engine/optim/average.hpp"

#include <caf/all.hpp>

#include <memory>

namespace troupe::actors {

using average_ptr = std::shared_ptr<engine::weight_average>;

struct ema_settings {
  device_ptr on;
  model_ptr of;
  average_ptr average;
};

struct ema_state {
  static inline const char* name = "ema";

  double fold();

  ema_settings settings;
};

ema_actor::behavior_type ema(ema_actor::stateful_pointer<ema_state> self, ema_settings settings);

}  // namespace troupe::actors
