#include "actors/cast/critic.hpp"

#include "actors/models/options.hpp"
#include "actors/protocol/error_replies.hpp"
#include "base/stopwatch.hpp"
#include "engine/train/accumulate.hpp"
#include "engine/train/scoring.hpp"

namespace troupe::actors {

void critic_state::open(critic_settings settings) {
  settings_ = std::move(settings);
  workspace_ = std::make_unique<engine::train_workspace>(settings_.job.run.activation_checkpointing);
}

score_reply critic_state::score() {
  const operation_scope scope(settings_.on->pulse_of(role::critic), "critic values");
  model& m = *settings_.trained->of;
  engine::gathered_weights weights(m.weights);
  return score_waiting(queue_, scope, settings_.job.ppo.micro_batch_tokens, m.weights.group(),
                       [&](std::span<const sequence_handle> taken, const engine::packed_batch& batch) {
                         const auto values = engine::answer_values(settings_.on->ctx, m.net, weights.view(), batch);
                         send_answer_scores(settings_.replay, scorer::critic, taken, values);
                       });
}

train_reply critic_state::train(const train_command& command) {
  const operation_scope scope(settings_.on->pulse_of(role::critic), "critic gradients");
  const stopwatch watch;
  const minibatch_handle batch = minibatches_.take(command.batch_id);
  model& m = *settings_.trained->of;
  const engine::value_settings loss = value_loss_of(settings_.job.ppo);
  engine::gathered_weights weights(m.weights);
  int64_t tokens = 0;
  const auto by_part = engine::accumulate<engine::value_statistics>(
      settings_.on->ctx, *settings_.trained->learner, static_cast<int64_t>(batch->parts.size()),
      {.net = m.net, .weights = weights.view(), .gradients = nullptr, .workspace = *workspace_},
      [&](int64_t j, const engine::trainee& to) {
        const minibatch::part& part = batch->parts[static_cast<size_t>(j)];
        tokens += part.packed.tokens();
        return engine::critic_micro_batch(
            settings_.on->ctx, to, part.packed, loss,
            {.value_old_A = part.value_old_A, .return_A = part.return_A, .weight_A = part.weight_A});
      },
      [&scope] { scope.touch(); });
  engine::value_statistics sums;
  for (const engine::value_statistics& one : by_part) {
    sums.add(one);
  }
  return {.statistics = {{"critic/loss", sums.loss},
                         {"critic/clip_fraction", sums.clip_fraction()},
                         {"critic/explained_variance", sums.explained_variance()},
                         {"critic/value_mean", sums.values.mean},
                         {"critic/return_mean", sums.returns.mean}},
          .tokens = tokens,
          .seconds = watch.seconds()};
}

critic_actor::behavior_type critic(critic_actor::stateful_pointer<critic_state> self, critic_settings settings) {
  self->state.open(std::move(settings));
  return {
      [self](const sequence_handle& sequence) { self->state.keep(sequence); },
      [self](const minibatch_handle& batch) { self->state.keep(batch); },
      replying_errors([self](score_atom) { return self->state.score(); }),
      replying_errors([self](train_atom, const train_command& command) { return self->state.train(command); }),
  };
}

}  // namespace troupe::actors
