#include "actors/cast/ema.hpp"

#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"

namespace troupe::actors {

double ema_state::fold() {
  const operation_scope scope(settings.on->pulse_of(role::ema), "weight average");
  const stopwatch watch;
  settings.average->fold(settings.on->ctx, settings.of->weights.data());
  return watch.seconds();
}

ema_actor::behavior_type ema(ema_actor::stateful_pointer<ema_state> self, ema_settings settings) {
  self->state.settings = std::move(settings);
  return {replying_errors([self](fold_atom) { return self->state.fold(); })};
}

}  // namespace troupe::actors
