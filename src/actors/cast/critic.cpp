#include "actors/cast/critic.hpp"

#include "actors/protocol/error_replies.hpp"
#include "engine/train/scoring.hpp"

#include <utility>

namespace troupe::actors {

void critic_state::open(critic_settings settings) {
  settings_ = std::move(settings);
  scorer_.emplace(sequence_scorer_settings{.on = settings_.on,
                                           .as = role::critic,
                                           .by = scorer::critic,
                                           .micro_batch_tokens = settings_.micro_batch_tokens,
                                           .replay = settings_.replay});
  trainer_.emplace(trainer_settings{.on = settings_.on,
                                    .as = role::critic,
                                    .trained = settings_.trained,
                                    .activation_checkpointing = settings_.activation_checkpointing});
}

score_reply critic_state::score() {
  constexpr const char* operation = "critic values";
  const turn mine(settings_.trained->turns, operation);
  model& m = *settings_.trained->of;
  const engine::weights_in_use weights(settings_.on->ctx, m.weights, m.on_card.get());
  return scorer_->score(operation, m.weights.group(), [&](context& ctx, const scored_batch& batch) {
    return by_answer(batch.sequences, engine::answer_values(ctx, m.net, weights.view(), batch.packed));
  });
}

static micro_batch_list list_of(const minibatch& experience) {
  micro_batch_list list;
  for (const minibatch::part& part : experience.parts) {
    list.push_back(&part.packed);
  }
  return list;
}

train_reply critic_state::train(const train_command& command) {
  const minibatch_handle experience = experience_.take(command.batch_id);
  const auto learned = trainer_->accumulate<engine::value_statistics>(
      "critic gradients", list_of(*experience), [&](context& ctx, const engine::trainee& to, size_t index) {
        const minibatch::part& part = experience->parts[index];
        return engine::critic_micro_batch(
            ctx, to, part.packed, settings_.loss,
            {.value_old_A = part.value_old_A, .return_A = part.return_A, .weight_A = part.weight_A});
      });
  const engine::value_statistics& sums = learned.sums;
  return learned.reply({{"critic/loss", sums.loss},
                        {"critic/clip_fraction", sums.clip_fraction()},
                        {"critic/explained_variance", sums.explained_variance()},
                        {"critic/value_mean", sums.values.mean},
                        {"critic/return_mean", sums.returns.mean}});
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
