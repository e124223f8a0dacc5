#include "actors/cast/optimizer.hpp"

#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"

#include <utility>

namespace troupe::actors {

step_reply optimizer_state::step(const step_command& command) {
  const operation_scope scope(settings.on->pulse_of(settings.as), "optimizer step");
  const stopwatch watch;
  const engine::update_report report =
      settings.trained->learner->update(settings.on->ctx, settings.trained->of->weights.data(), command.learning_rate);
  const engine::traffic now = counted();
  const engine::traffic before = std::exchange(reported, now);
  return {.gradient_norm = report.gradient_norm,
          .seconds = watch.seconds(),
          .sent_bytes = now.bytes() - before.bytes(),
          .communication_s = now.under_way_s - before.under_way_s,
          .communication_wait_s = now.waited_s - before.waited_s};
}

engine::traffic optimizer_state::counted() const {
  engine::traffic sum;
  for (const engine::communicator_ptr& group :
       {settings.trained->learner->group(), settings.trained->of->weights.group()}) {
    if (group) {
      const engine::traffic one = group->sent();
      sum.reduced += one.reduced;
      sum.gathered += one.gathered;
      sum.other += one.other;
      sum.under_way_s += one.under_way_s;
      sum.waited_s += one.waited_s;
    }
  }
  return sum;
}

optimizer_actor::behavior_type optimizer(optimizer_actor::stateful_pointer<optimizer_state> self,
                                         optimizer_settings settings) {
  self->state.settings = std::move(settings);
  return {
      replying_errors([self](step_atom, const step_command& command) { return self->state.step(command); }),
      [self](discard_atom) { self->state.settings.trained->learner->discard(); },
  };
}

}  // namespace troupe::actors
