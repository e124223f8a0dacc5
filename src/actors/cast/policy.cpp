#include "actors/cast/policy.hpp"

#include "actors/models/options.hpp"
#include "actors/protocol/error_replies.hpp"
#include "engine/train/scoring.hpp"

#include <memory>
#include <utility>

namespace troupe::actors {

void policy_state::open(policy_settings settings) {
  settings_ = std::move(settings);
  trainer_.emplace(trainer_settings{.on = settings_.on,
                                    .as = role::policy,
                                    .trained = settings_.trained,
                                    .activation_checkpointing = settings_.activation_checkpointing});
  if (settings_.rollout) {
    rollout_.emplace(*settings_.rollout);
  }
}

generate_reply policy_state::generate(const generate_command& command) {
  if (!rollout_) {
    throw error(errc::bad_argument, "nothing is rolled out in this phase");
  }
  constexpr const char* operation = "generate";
  const operation_scope scope(settings_.on->pulse_of(role::policy), operation);
  const turn mine(settings_.trained->turns, operation);
  // A batch that was served once more, after a rollback, begins once more.
  if (!rollout_->has_begun(command.batch_id) || examples_.has(command.batch_id)) {
    rollout_->begin(examples_.take(command.batch_id), command.rollbacks);
  }
  return rollout_->advance(command, scope);
}

train_reply policy_state::train(const train_command& command) {
  switch (kind_of_batch(command.batch_id)) {
  case batch_kind::examples:
    return learn_text(command);
  case batch_kind::experience:
    return learn_experience(command);
  }
  throw error(errc::bad_argument, "batch {} is of no kind that the policy can learn from", command.batch_id);
}

train_reply policy_state::learn_text(const train_command& command) {
  const batch_handle batch = examples_.take(command.batch_id);
  const engine::lm_scale scale{.tokens = static_cast<double>(command.loss_terms), .coefficient = 1};
  const auto learned = trainer_->accumulate<engine::lm_statistics>(
      "policy gradients", list_of(batch->micro_batches), [&](context& ctx, const engine::trainee& to, size_t index) {
        return engine::sft_micro_batch(ctx, to, batch->micro_batches[index], scale);
      });
  return learned.reply({{"policy/loss", learned.sums.mean_nll_nats()}});
}

namespace {

/// What a micro-batch says: of PPO's or of the mixture's.
struct experience_statistics {
  engine::policy_statistics policy;
  engine::lm_statistics mixture;

  void add(const experience_statistics& other) {
    policy.add(other.policy);
    mixture.add(other.mixture);
  }
};

statistics named(const engine::policy_statistics& sums) {
  return {{"policy/loss", sums.loss},
          {"policy/surrogate_loss", sums.surrogate_loss},
          {"policy/entropy_nats", sums.mean(sums.entropy_nats)},
          {"policy/clip_fraction", sums.clip_fraction()},
          {"policy/ratio_mean", sums.mean(sums.ratio)},
          {"policy/ratio_max", sums.ratio_max},
          {"policy/approx_kl_nats", sums.mean(sums.k3_nats)},
          {"policy/approx_kl_k1_nats", sums.mean(sums.k1_nats)},
          {"policy/ref_kl_nats", sums.mean(sums.ref_kl_nats)}};
}

/// PPO's micro-batches, then the mixture's: one order over both, so their gradients are summed in the same lanes.
micro_batch_list list_of(const minibatch& experience, const example_batch& mixture) {
  micro_batch_list list;
  for (const minibatch::part& part : experience.parts) {
    list.push_back(&part.packed);
  }
  for (const engine::packed_batch& text : mixture.micro_batches) {
    list.push_back(&text);
  }
  return list;
}

engine::policy_targets targets_of(const minibatch::part& part, float temperature) {
  return {.logprob_old_A = part.logprob_old_A,
          .logprob_ref_A = part.logprob_ref_A,
          .advantage_A = part.advantage_A,
          .weight_A = part.policy_weight_A,
          .temperature = temperature};
}

}  // namespace

batch_handle policy_state::take_mixture(const train_command& command) {
  if (command.mixture_coefficient > 0) {
    return examples_.take(command.mixture_batch_id);
  }
  return {std::make_shared<example_batch>()};
}

train_reply policy_state::learn_experience(const train_command& command) {
  const minibatch_handle experience = experience_.take(command.batch_id);
  const batch_handle mixture = take_mixture(command);
  const engine::policy_settings loss = policy_loss_of(settings_.learning.ppo, command.kl_coefficient);
  const engine::lm_scale scale{.tokens = static_cast<double>(command.mixture_loss_terms),
                               .coefficient = command.mixture_coefficient};
  const size_t parts = experience->parts.size();
  const auto learned = trainer_->accumulate<experience_statistics>(
      "policy gradients", list_of(*experience, *mixture), [&](context& ctx, const engine::trainee& to, size_t index) {
        experience_statistics found;
        if (index < parts) {
          const minibatch::part& part = experience->parts[index];
          found.policy =
              engine::policy_micro_batch(ctx, to, part.packed, loss, targets_of(part, settings_.learning.temperature));
        } else {
          found.mixture = engine::sft_micro_batch(ctx, to, mixture->micro_batches[index - parts], scale);
        }
        return found;
      });
  if (experience->fresh) {
    require_exact(learned.sums.policy);
  }
  train_reply reply = learned.reply(named(learned.sums.policy));
  if (command.mixture_coefficient > 0) {
    reply.statistics["mixture/loss"] = learned.sums.mixture.mean_nll_nats();
  }
  return reply;
}

void policy_state::require_exact(const engine::policy_statistics& sums) const {
  if (settings_.learning.exact && sums.different > 0) {
    throw error(errc::not_exact,
                "{} of {} log-probabilities stored at sampling differ from those of the first training forward: the "
                "policy that samples is not the policy that learns. This is a defect of Troupe or of the machine's "
                "memory (run.exact = false goes on nevertheless)",
                sums.different, sums.tokens);
  }
}

train_reply policy_state::evaluate(const train_command& command) {
  const batch_handle batch = examples_.take(command.batch_id);
  const auto found = trainer_->evaluate<float>(
      "held-out perplexity", batch->micro_batches,
      [](context& ctx, const engine::transformer& net, const engine::weights_view& weights,
         const engine::packed_batch& part) { return engine::answer_log_probs(ctx, net, weights, part, 1.0F); });
  engine::lm_statistics sums;
  for (const std::vector<float>& logprob_A : found.by_batch) {
    for (const float logprob : logprob_A) {
      sums.nll_nats -= static_cast<double>(logprob);
    }
    sums.tokens += static_cast<int64_t>(logprob_A.size());
  }
  return {.statistics = {{"held_out/perplexity", sums.perplexity()}, {"held_out/loss", sums.mean_nll_nats()}},
          .tokens = sums.tokens,
          .seconds = found.seconds};
}

policy_actor::behavior_type policy(policy_actor::stateful_pointer<policy_state> self, policy_settings settings) {
  self->state.open(std::move(settings));
  return {
      [self](const batch_handle& batch) { self->state.keep(batch); },
      [self](const minibatch_handle& batch) { self->state.keep(batch); },
      replying_errors([self](generate_atom, const generate_command& command) { return self->state.generate(command); }),
      replying_errors([self](train_atom, const train_command& command) { return self->state.train(command); }),
      replying_errors([self](evaluate_atom, const train_command& command) { return self->state.evaluate(command); }),
  };
}

}  // namespace troupe::actors
