/// The stage of a rank: joins the other ranks, sets up a phase's cast (casts.hpp), and clears it away for the next.
#pragma once

#include "actors/protocol/interfaces.hpp"
#include "actors/stage/cast_builder.hpp"
#include "actors/stage/rank_groups.hpp"
#include "actors/stage/stage_settings.hpp"
#include "engine/parallel/communicator.hpp"

#include <caf/all.hpp>

#include <optional>
#include <string>

namespace troupe::actors {

class stage_state {
public:
  static inline const char* name = "stage";

  explicit stage_state(stage_actor::stateful_pointer<stage_state> self) : actors_(self->system()) {}
  void open(stage_settings settings) { settings_.emplace(std::move(settings)); }

  /// Sets up the cast of a phase, by its name in the job file. Collective.
  /// Errors  bad_argument: there is no such phase; those of casts.hpp.
  cast set(const std::string& phase);

  /// Ends the cast, and leaves the other ranks.
  void leave();

private:
  std::optional<stage_settings> settings_;
  spawned_actors actors_;
  std::optional<rank_groups> ranks_;  ///< joined when the first phase is set
  engine::communicator_ptr work_;     ///< for what ranks tell each other besides gradients
};

stage_actor::behavior_type stage(stage_actor::stateful_pointer<stage_state> self, stage_settings settings);

}  // namespace troupe::actors
