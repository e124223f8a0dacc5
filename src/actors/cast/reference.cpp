#include "actors/cast/reference.hpp"

#include "actors/protocol/error_replies.hpp"
#include "engine/train/scoring.hpp"

namespace troupe::actors {

score_reply reference_state::score() {
  const operation_scope scope(settings.on->pulse_of(role::reference), "reference scoring");
  model& m = *settings.of;
  engine::gathered_weights weights(m.weights);
  return score_waiting(queue, scope, settings.micro_batch_tokens, m.weights.group(),
                       [&](std::span<const sequence_handle> taken, const engine::packed_batch& batch) {
                         const std::vector<float> logprob_A = engine::answer_log_probs(
                             settings.on->ctx, m.net, weights.view(), batch, settings.temperature);
                         send_answer_scores(settings.replay, scorer::reference, taken, logprob_A);
                       });
}

reference_actor::behavior_type reference(reference_actor::stateful_pointer<reference_state> self,
                                         reference_settings settings) {
  self->state.settings = std::move(settings);
  return {
      [self](const sequence_handle& sequence) { self->state.queue.add(sequence); },
      replying_errors([self](score_atom) { return self->state.score(); }),
  };
}

}  // namespace troupe::actors
