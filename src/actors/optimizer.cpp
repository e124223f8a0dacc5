#include "actors/optimizer.hpp"

#include "actors/guarded.hpp"
#include "actors/stopwatch.hpp"

namespace troupe::actors {

step_reply optimizer_state::step(const step_command& command) {
  const operation_scope scope(settings.on->pulse, "optimizer step");
  const stopwatch watch;
  const engine::update_report report =
      settings.trained->learner->update(settings.on->ctx, settings.trained->of->weights.data(), command.learning_rate);
  return {.gradient_norm = report.gradient_norm, .seconds = watch.seconds()};
}

optimizer_actor::behavior_type optimizer(optimizer_actor::stateful_pointer<optimizer_state> self,
                                         optimizer_settings settings) {
  self->state.settings = std::move(settings);
  return {
      guarded([self](step_atom, const step_command& command) { return self->state.step(command); }),
      [self](cut_atom) { self->state.settings.trained->learner->discard(); },
  };
}

}  // namespace troupe::actors
