#include "actors/cast/ema.hpp"

#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"
#include "engine/tensor/transfer.hpp"

namespace troupe::actors {

double ema_state::fold() {
  constexpr const char* operation = "weight average";
  const operation_scope scope(settings.on->pulse_of(role::ema), operation);
  const turn mine(settings.trained->turns, operation);
  const stopwatch watch;
  const engine::rank_weights& learned = settings.trained->of->learned();
  settings.average->fold(settings.on->at(learned.on()), learned.data());
  engine::settle(settings.on->at(learned.on()));  // so that the time, and a failure of the card, are this actor's
  return watch.seconds();
}

ema_actor::behavior_type ema(ema_actor::stateful_pointer<ema_state> self, ema_settings settings) {
  self->state.settings = std::move(settings);
  return {replying_errors([self](fold_atom) { return self->state.fold(); })};
}

}  // namespace troupe::actors
