#include "actors/reference.hpp"

#include "actors/guarded.hpp"
#include "actors/stopwatch.hpp"
#include "engine/train/scoring.hpp"

namespace troupe::actors {

score_reply reference_state::score(const score_command& command) {
  const operation_scope scope(settings.on->pulse, "reference scoring");
  const stopwatch watch;
  score_reply reply;
  while (reply.scored < command.sequences && queue.waiting() > 0) {
    const auto taken = queue.take(command.sequences - reply.scored, settings.micro_batch_tokens);
    const engine::packed_batch batch = pack(taken);
    const std::vector<float> logprob_A = engine::answer_log_probs(
        settings.on->ctx, settings.of->net, settings.of->weights.data(), batch, settings.temperature);
    send_answer_scores(settings.replay, scorer::reference, taken, logprob_A);
    reply.scored += static_cast<int64_t>(taken.size());
    reply.tokens += batch.tokens();
    settings.on->pulse.touch();
  }
  reply.waiting = queue.waiting();
  reply.seconds = watch.seconds();
  return reply;
}

reference_actor::behavior_type reference(reference_actor::stateful_pointer<reference_state> self,
                                         reference_settings settings) {
  self->state.settings = std::move(settings);
  return {
      [self](const sequence_handle& sequence) { self->state.queue.add(sequence); },
      guarded([self](score_atom, const score_command& command) { return self->state.score(command); }),
  };
}

}  // namespace troupe::actors
