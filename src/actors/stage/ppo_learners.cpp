#include "actors/stage/ppo_learners.hpp"

#include "actors/cast/critic.hpp"
#include "actors/cast/ema.hpp"
#include "actors/cast/policy.hpp"
#include "actors/cast/reference.hpp"
#include "actors/models/options.hpp"
#include "actors/models/special_tokens.hpp"
#include "base/digest.hpp"

namespace troupe::actors {

ppo_learners::ppo_learners(cast_builder& build, const seating& at) : build_(build), at_(at) {
  const io::job& job = build_.job();
  const io::starting_folders starts = build_.load().starts();
  const model_loading learned = build_.load().learned();
  const model_loading policy_weights =
      build_.ranks().open_learning("policy", job.place.policy_zero, learned, at_.policy);
  const model_loading critic_weights =
      build_.ranks().open_learning("critic", job.place.critic_zero, learned, at_.critic);
  const auto policy_gradients = build_.ranks().open("policy gradients", at_.policy);
  const auto critic_gradients = build_.ranks().open("critic gradients", at_.critic);
  if (at_.policy.here()) {
    policy_ = build_.load().learning("policy", build_.load().policy(starts.policy, policy_weights), job.ppo.policy,
                                     job.place.policy_zero, policy_gradients);
  }
  if (at_.critic.here()) {
    critic_ = build_.load().learning("critic", build_.load().any(starts.critic, head_kind::scalar, critic_weights),
                                     job.ppo.critic, job.place.critic_zero, critic_gradients);
  }
  const auto average = build_.ranks().open("policy average", at_.policy);
  if (policy_ && job.ppo.ema_decay > 0) {
    average_ = std::make_shared<engine::weight_average>(policy_->learner->plan(), average,
                                                        policy_->of->learned().data(), job.ppo.ema_decay,
                                                        engine::arena_place{policy_->learner->on(), "policy average"});
  }
  tokens_ = build_.load().tokens(starts.policy, policy_ ? policy_->of.get() : nullptr);
}

void ppo_learners::load_mixture() {
  if (policy_ && build_.job().ppo.ptx_coef > 0) {
    mixture_ = build_.load().data(io::phase::sft, tokens_);
  }
}

std::map<std::string, std::string> ppo_learners::digests() const {
  const auto digest_of = [this](const trained_model_ptr& trained, const seat& at) {
    return build_.digest_on_all(trained ? trained->of : nullptr, at);
  };
  std::map<std::string, std::string> digests;
  digests["policy"] = digest_of(policy_, at_.policy);
  digests["critic"] = digest_of(critic_, at_.critic);
  return digests;
}

void ppo_learners::add_to(checkpointer_settings& keeps) const {
  keeps.average = average_;
  if (mixture_) {
    keeps.digests["sft data"] = digest_text(mixture_->digest);
  }
  if (policy_) {
    keeps.models.push_back({"policy", policy_});
    keeps.saved.push_back({"policy", policy_->of, at_.policy.first(), nullptr, 0});
  }
  if (critic_) {
    keeps.models.push_back({"critic", critic_});
    keeps.saved.push_back({"critic", critic_->of, at_.critic.first(), nullptr, pad_token_of(*tokens_)});
  }
  if (average_) {
    keeps.saved.push_back({"policy-ema", policy_->of, at_.policy.first(), average_, 0});
  }
}

void ppo_learners::spawn_critic(cast& parts, const caf::actor& replay) const {
  if (!critic_) {
    return;
  }
  const io::job& job = build_.job();
  critic_settings settings{.on = build_.on(),
                           .trained = critic_,
                           .activation_checkpointing = job.run.activation_checkpointing,
                           .loss = value_loss_of(job.ppo),
                           .micro_batch_tokens = job.ppo.micro_batch_tokens,
                           .replay = replay};
  parts.critic = pointer(build_.spawn<critic_actor>(actors::critic, std::move(settings)));
  parts.critic_optimizer = build_.spawn_optimizer(role::critic_optimizer, critic_);
}

void ppo_learners::spawn_policy_scorer(cast& parts, const caf::actor& replay) const {
  if (!policy_) {
    return;
  }
  const io::job& job = build_.job();
  reference_settings settings{.on = build_.on(),
                              .of = policy_->of,
                              .learning = policy_,
                              .by = scorer::policy,
                              .temperature = training_temperature(sampling_of(job.generation)),
                              .micro_batch_tokens = job.ppo.micro_batch_tokens,
                              .replay = replay};
  parts.policy_scorer = pointer(build_.spawn<reference_actor>(reference, std::move(settings)));
}

/// A run's folder may hold files of the run that it was forked from, whose job was another.
std::optional<mixing_rules> ppo_learners::mixing(expected_experience stored) const {
  const io::job& job = build_.job();
  if (job.mixing_window() == 0) {
    return std::nullopt;
  }
  stored.mixing = true;
  stored.allowed.insert(stored.allowed.end(), {io::replay_leniency::job, io::replay_leniency::groups});
  return mixing_rules{
      .seed = job.run.seed, .share = job.experience.mix, .stored = std::move(stored), .scoring_on = at_.policy.members};
}

void ppo_learners::spawn_policy(cast& parts, io::phase phase, std::optional<rollout_settings> rollout,
                                io::phase_data data) {
  if (!policy_) {
    return;
  }
  const io::job& job = build_.job();
  policy_settings settings{.on = build_.on(),
                           .trained = policy_,
                           .activation_checkpointing = job.run.activation_checkpointing,
                           .learning = {.ppo = job.ppo,
                                        .temperature = training_temperature(sampling_of(job.generation)),
                                        .exact = job.run.exact},
                           .rollout = std::move(rollout)};
  const auto handle = build_.spawn<policy_actor>(actors::policy, std::move(settings));
  parts.policy = pointer(handle);
  parts.policy_optimizer = build_.spawn_optimizer(role::policy_optimizer, policy_);
  if (average_) {
    parts.ema =
        pointer(build_.spawn<ema_actor>(ema, ema_settings{.on = build_.on(), .trained = policy_, .average = average_}));
  }
  parts.loader = build_.spawn_loader(phase, std::move(data), untyped(handle), std::move(mixture_));
}

}  // namespace troupe::actors
