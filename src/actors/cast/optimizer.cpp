#include "actors/cast/optimizer.hpp"

#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"
#include "engine/tensor/transfer.hpp"

#include <utility>

namespace troupe::actors {

step_reply optimizer_state::step(const step_command& command) {
  constexpr const char* operation = "optimizer step";
  const operation_scope scope(settings_.on->pulse_of(settings_.as), operation);
  const turn mine(settings_.trained->turns, operation);
  const stopwatch watch;
  model& of = *settings_.trained->of;
  engine::learner& learner = *settings_.trained->learner;
  const engine::update_report report =
      learner.update(settings_.on->at(learner.on()), of.learned().data(), command.learning_rate, of.rounded());
  of.weights_changed();
  engine::settle(settings_.on->at(learner.on()));  // so that the time, and a failure of the card, are this actor's
  const engine::traffic now = traffic_so_far();
  const engine::traffic before = std::exchange(reported_, now);
  return {.gradient_norm = report.gradient_norm,
          .seconds = watch.seconds(),
          .sent_bytes = now.bytes() - before.bytes(),
          .communication_s = now.under_way_s - before.under_way_s,
          .communication_wait_s = now.waited_s - before.waited_s};
}

void optimizer_state::discard() {
  const turn mine(settings_.trained->turns, "discard gradients");
  settings_.trained->learner->discard();
}

engine::traffic optimizer_state::traffic_so_far() const {
  engine::traffic sum;
  for (const engine::communicator_ptr& group :
       {settings_.trained->learner->group(), settings_.trained->of->weights.group()}) {
    if (group) {
      const engine::traffic sent = group->sent();
      sum.reduced += sent.reduced;
      sum.gathered += sent.gathered;
      sum.other += sent.other;
      sum.under_way_s += sent.under_way_s;
      sum.waited_s += sent.waited_s;
    }
  }
  return sum;
}

optimizer_actor::behavior_type optimizer(optimizer_actor::stateful_pointer<optimizer_state> self,
                                         optimizer_settings settings) {
  self->state.open(std::move(settings));
  return {
      replying_errors([self](step_atom, const step_command& command) { return self->state.step(command); }),
      replying_errors([self](discard_atom) {
        self->state.discard();
        return true;
      }),
  };
}

}  // namespace troupe::actors
