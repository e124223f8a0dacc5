/// A model that learns: its weights, and the optimizer's arenas beside them.
#pragma once

#include "actors/models/model_files.hpp"
#include "actors/models/turn.hpp"
#include "engine/optim/learner.hpp"

#include <memory>

namespace troupe::actors {

/// Actors on several threads share one of these. Each use of its weights or its learner holds `turns` (turn.hpp); what
/// never changes (shapes, plans, ranks) may be read at any time.
struct trained_model {
  model_ptr of;
  std::unique_ptr<engine::learner> learner;  ///< null: it only generates
  turn_taking turns;
};

using trained_model_ptr = std::shared_ptr<trained_model>;

}  // namespace troupe::actors
