#include "actors/cast/reference.hpp"

#include "actors/protocol/error_replies.hpp"
#include "engine/train/scoring.hpp"

#include <utility>

namespace troupe::actors {

void reference_state::open(reference_settings settings) {
  settings_ = std::move(settings);
  scorer_.emplace(sequence_scorer_settings{.on = settings_.on,
                                           .as = role::reference,
                                           .by = settings_.by,
                                           .micro_batch_tokens = settings_.micro_batch_tokens,
                                           .replay = settings_.replay});
}

score_reply reference_state::score() {
  const char* const operation = settings_.learning ? "policy scoring" : "reference scoring";
  std::optional<turn> mine;
  if (settings_.learning) {
    mine.emplace(settings_.learning->turns, operation);
  }
  model& m = *settings_.of;
  const engine::weights_in_use weights(settings_.on->ctx, m.weights, m.on_card.get());
  return scorer_->score(operation, m.weights.group(), [&](context& ctx, const scored_batch& batch) {
    return by_answer(batch.sequences,
                     engine::answer_log_probs(ctx, m.net, weights.view(), batch.packed, settings_.temperature));
  });
}

reference_actor::behavior_type reference(reference_actor::stateful_pointer<reference_state> self,
                                         reference_settings settings) {
  self->state.open(std::move(settings));
  return {
      [self](const sequence_handle& sequence) { self->state.keep(sequence); },
      replying_errors([self](score_atom) { return self->state.score(); }),
  };
}

}  // namespace troupe::actors
