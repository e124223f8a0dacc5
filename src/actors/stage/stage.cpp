#include "actors/stage/stage.hpp"

#include "actors/protocol/error_replies.hpp"
#include "actors/stage/casts.hpp"
#include "base/assert.hpp"

#include <array>
#include <utility>

namespace troupe::actors {

/// Errors  bad_argument: there is no phase of that name.
static io::phase phase_named(const std::string& name) {
  for (const io::phase phase : {io::phase::pairs, io::phase::sft, io::phase::reward, io::phase::ppo}) {
    if (io::to_string(phase) == name) {
      return phase;
    }
  }
  throw error(errc::bad_argument, "there is no phase \"{}\"", name);
}

static cast make_cast(io::phase phase, cast_builder& build) {
  switch (phase) {
  case io::phase::pairs:
    return make_pairs_cast(build);
  case io::phase::sft:
    return make_sft_cast(build);
  case io::phase::reward:
    return make_reward_cast(build);
  case io::phase::ppo:
    return make_ppo_cast(build);
  }
  assertion_failed("a phase without a cast", __FILE__, __LINE__);
}

cast stage_state::set(const std::string& phase) {
  pulse& signs = settings_->on->pulse_of(role::stage);
  if (!ranks_) {
    const operation_scope scope(signs, "join the other ranks");
    ranks_.emplace(settings_->join());
  }
  const operation_scope scope(signs, "load models and data");
  actors_.end_all();
  work_ = ranks_->open("work");
  cast_builder build(*settings_, *ranks_, work_, actors_);
  return make_cast(phase_named(phase), build);
}

/// The launcher takes a rank that ends without leaving the others for a failure.
void stage_state::leave() {
  actors_.end_all();
  work_.reset();
  ranks_.reset();
}

stage_actor::behavior_type stage(stage_actor::stateful_pointer<stage_state> self, stage_settings settings) {
  self->state.open(std::move(settings));
  return {
      replying_errors([self](stage_atom, const std::string& phase) { return self->state.set(phase); }),
      [self](quit_atom) {
        self->state.leave();
        self->quit();
      },
  };
}

}  // namespace troupe::actors
