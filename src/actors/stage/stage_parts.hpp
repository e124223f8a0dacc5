/// INTERNAL to the stage's sources: how a cast is put together.
#pragma once

#include "actors/cast/checkpointer.hpp"
#include "actors/cast/critic.hpp"
#include "actors/cast/ema.hpp"
#include "actors/cast/loader.hpp"
#include "actors/cast/optimizer.hpp"
#include "actors/cast/policy.hpp"
#include "actors/cast/reference.hpp"
#include "actors/cast/replay.hpp"
#include "actors/cast/reward.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/models/options.hpp"
#include "actors/models/plan_options.hpp"
#include "actors/models/special_tokens.hpp"
#include "actors/stage/stage.hpp"

#include <string>
#include <utility>

namespace troupe::actors {

inline caf::strong_actor_ptr pointer(const auto& handle) { return caf::actor_cast<caf::strong_actor_ptr>(handle); }

/// A model's files as far as they make its numbers: enough to tell models apart. Collective where its weights are shared.
std::string weights_digest(context& ctx, model& m);

inline caf::actor untyped(const auto& handle) { return caf::actor_cast<caf::actor>(handle); }

// Models compute in handlers that block for long, so every actor of the cast has a thread of its own.
template <class Handle, class... Arguments> Handle stage_state::spawn(Arguments&&... arguments) {
  auto handle = self_->spawn<caf::detached>(std::forward<Arguments>(arguments)...);
  spawned_.push_back(pointer(handle));
  return handle;
}

}  // namespace troupe::actors
