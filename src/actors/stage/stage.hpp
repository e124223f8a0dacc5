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

  explicit stage_state(stage_actor::stateful_pointer<stage_state> self) : self_(self), actors_(*self) {}
  void open(stage_settings settings) { settings_.emplace(std::move(settings)); }

  /// Sets up the cast of a phase. Collective.
  /// Errors  those of casts.hpp.
  cast set(io::phase phase);

  /// The work is done: ends the cast, then leaves the other ranks and quits. No call of MPI's is on its way then: all
  /// that hold a communicator are gone.
  void leave();

  /// An actor of the cast has ended. One that was not told to takes the stage with it, for the same reason: nobody may
  /// be left who would answer the director.
  void note_end(const caf::down_msg& down);

private:
  void open_card();
  void settle_exchange();
  void leave_ranks();

  stage_actor::stateful_pointer<stage_state> self_;
  bool leaving_ = false;
  std::optional<stage_settings> settings_;
  spawned_actors actors_;
  std::optional<rank_groups> ranks_;  ///< joined when the first phase is set
  engine::communicator_ptr work_;     ///< for what ranks tell each other besides gradients
};

stage_actor::behavior_type stage(stage_actor::stateful_pointer<stage_state> self, stage_settings settings);

}  // namespace troupe::actors
