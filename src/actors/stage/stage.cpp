#include "actors/stage/stage.hpp"

#include "actors/models/options.hpp"
#include "actors/protocol/error_replies.hpp"
#include "actors/stage/casts.hpp"
#include "base/assert.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace troupe::actors {

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
  case io::phase::replay:
    return make_replay_cast(build);
  }
  assertion_failed("a phase without a cast", __FILE__, __LINE__);
}

cast stage_state::set(io::phase phase) {
  pulse& signs = settings_->on->pulse_of(role::stage);
  if (!ranks_) {
    open_card();
    const operation_scope scope(signs, "join the other ranks");
    ranks_.emplace(settings_->join());
    settle_exchange();
  }
  const operation_scope scope(signs, "load models and data");
  actors_.end_all();
  work_ = ranks_->open("work");
  cast_builder build(*settings_, *ranks_, work_, actors_);
  return make_cast(phase, build);
}

void stage_state::open_card() {
  if (settings_->open_card && !settings_->on->card) {
    const operation_scope scope(settings_->on->pulse_of(role::stage), "open the card");
    settings_->on->compute_on(settings_->open_card());
  }
}

/// Of what lies on the ranks' cards.
void stage_state::settle_exchange() {
  if (settings_->on->card && ranks_->size() > 1) {
    engine::exchange_settings how = exchange_of(settings_->job);
    how.tell = [](const std::string& line) { spdlog::info("{}", line); };
    engine::settle_exchange(*ranks_->open("cards"), *settings_->on->card, how);
  }
}

void stage_state::leave() {
  leaving_ = true;
  actors_.end_all();
  if (actors_.all_have_ended()) {
    leave_ranks();
  }
}

void stage_state::note_end(const caf::down_msg& down) {
  actors_.note_end(down.source);
  if (down.reason != caf::exit_reason::user_shutdown) {
    self_->quit(down.reason);
  } else if (leaving_ && actors_.all_have_ended()) {
    leave_ranks();
  }
}

/// The launcher takes a rank that ends without leaving the others for a failure.
void stage_state::leave_ranks() {
  work_.reset();
  ranks_.reset();
  self_->quit();
}

stage_actor::behavior_type stage(stage_actor::stateful_pointer<stage_state> self, stage_settings settings) {
  die_telling_why(self);
  self->set_down_handler([self](const caf::down_msg& down) { self->state.note_end(down); });
  self->state.open(std::move(settings));
  return {
      replying_errors([self](stage_atom, io::phase phase) { return self->state.set(phase); }),
      [self](quit_atom) { self->state.leave(); },
  };
}

}  // namespace troupe::actors
