#include "actors/cast/critic.hpp"
#include "actors/cast/ema.hpp"
#include "actors/cast/policy.hpp"
#include "actors/cast/reference.hpp"
#include "actors/cast/reward.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/models/options.hpp"
#include "actors/models/special_tokens.hpp"
#include "actors/stage/casts.hpp"
#include "base/digest.hpp"

#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace troupe::actors {

namespace {

/// What the cast is made of, and the cast. Models, and what their ranks alone need, are null on other ranks.
class ppo_cast {
public:
  explicit ppo_cast(cast_builder& build) : build_(build), job_(build.job()), at_(build.ranks().seats(job_.place)) {}

  cast make();

private:
  void load();
  void load_learners();
  void load_scorers();
  /// That those which score the policy's sequences can read them.
  void require_fit() const;
  void add_digest(const std::string& name, const model_ptr& of, const seat& at);
  /// Of all models' weights, on every rank, whichever ranks have the models. Collective.
  void digest_models();

  checkpointer_settings checkpointing() const;
  replay_settings replaying() const;
  void spawn_scorers(cast& parts);
  void spawn_critic(cast& parts);
  void spawn_policy(cast& parts);

  cast_builder& build_;
  const io::job& job_;
  seating at_;
  trained_model_ptr policy_, critic_;
  model_ptr reference_;
  std::vector<reward_judge> judges_;
  average_ptr average_;
  engine::communicator_ptr columns_;
  std::shared_ptr<const io::tokenizer> tokens_;
  io::phase_data data_;
  std::optional<io::phase_data> mixture_;
  std::map<std::string, std::string> model_digests_;  ///< of each model's weights at the phase's start
  caf::actor replay_;
};

void ppo_cast::load_learners() {
  const io::starting_folders starts = build_.load().starts();
  const auto policy_weights = build_.ranks().open_weights("policy", job_.place.policy_zero, at_.policy);
  const auto critic_weights = build_.ranks().open_weights("critic", job_.place.critic_zero, at_.critic);
  const auto policy_gradients = build_.ranks().open("policy gradients", at_.policy);
  const auto critic_gradients = build_.ranks().open("critic gradients", at_.critic);
  if (at_.policy.here()) {
    policy_ = build_.load().learning(build_.load().policy(starts.policy, policy_weights), job_.ppo.policy,
                                     job_.place.policy_zero, policy_gradients);
  }
  if (at_.critic.here()) {
    critic_ = build_.load().learning(build_.load().any(starts.critic, head_kind::scalar, critic_weights),
                                     job_.ppo.critic, job_.place.critic_zero, critic_gradients);
  }
  const auto average = build_.ranks().open("policy average", at_.policy);
  columns_ = build_.ranks().open_generation(job_.place, at_.policy);
  if (policy_ && job_.ppo.ema_decay > 0) {
    average_ = std::make_shared<engine::weight_average>(policy_->learner->plan(), average, policy_->of->weights.data(),
                                                        job_.ppo.ema_decay);
  }
}

void ppo_cast::load_scorers() {
  const auto shared = build_.ranks().open_weights("reference", job_.place.frozen_zero, at_.reference);
  if (at_.reference.here()) {
    reference_ = build_.load().any(build_.load().starts().reference, head_kind::language_model, shared);
  }
  judges_ = build_.load().judges(job_.rewards, at_.reward);
}

void ppo_cast::require_fit() const {
  std::vector<const model*> readers = {reference_.get(), critic_ ? critic_->of.get() : nullptr};
  for (const reward_judge& judge : judges_) {
    readers.push_back(judge.of.get());
  }
  for (const model* reader : readers) {
    if (reader != nullptr) {
      require_reads(job_, *tokens_, build_.load().starts().policy, *reader);
    }
  }
}

void ppo_cast::add_digest(const std::string& name, const model_ptr& of, const seat& at) {
  const bool takes_part = of && (at.first() || of->weights.sharded());  // shards are gathered by all
  const std::string digest = takes_part ? build_.digest_of(*of) : "";
  build_.on()->pulse_of(role::stage).touch();
  model_digests_[name] = told_by_one(*build_.work(), at.first() ? digest : "");
}

void ppo_cast::digest_models() {
  add_digest("policy", policy_ ? policy_->of : nullptr, at_.policy);
  add_digest("critic", critic_ ? critic_->of : nullptr, at_.critic);
  add_digest("reference", reference_, at_.reference);
  for (size_t i = 0; i < job_.rewards.size(); ++i) {
    const io::reward_source& source = job_.rewards[i];
    if (source.kind == io::reward_kind::model) {
      add_digest("rewards." + source.name, judges_.empty() ? nullptr : judges_[i].of, at_.reward);
    }
  }
}

void ppo_cast::load() {
  load_learners();
  load_scorers();
  tokens_ = build_.load().tokens(build_.load().starts().policy, policy_ ? policy_->of.get() : nullptr);
  require_fit();
  data_ = build_.load().data(io::phase::ppo, tokens_);
  if (policy_ && job_.ppo.ptx_coef > 0) {
    mixture_ = build_.load().data(io::phase::sft, tokens_);
  }
  digest_models();
}

checkpointer_settings ppo_cast::checkpointing() const {
  checkpointer_settings keeps = build_.checkpointing(io::phase::ppo, "iteration", data_);
  keeps.average = average_;
  keeps.digests.insert(model_digests_.begin(), model_digests_.end());
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
  return keeps;
}

replay_settings ppo_cast::replaying() const {
  replay_settings collects = build_.replaying(tokens_);
  collects.scorers = {{scorer::reference, at_.reference.members},
                      {scorer::reward, at_.reward.members},
                      {scorer::critic, at_.critic.members}};
  collects.reward_sources = job_.rewards;
  collects.origin.source_names = data_.source_names;
  collects.origin.policy_digest = model_digests_.at("policy");
  return collects;
}

void ppo_cast::spawn_scorers(cast& parts) {
  if (at_.reference.here()) {
    reference_settings settings{.on = build_.on(),
                                .of = reference_,
                                .temperature = training_temperature(sampling_of(job_.generation)),
                                .micro_batch_tokens = job_.ppo.micro_batch_tokens,
                                .replay = replay_};
    parts.reference = pointer(build_.spawn<reference_actor>(reference, std::move(settings)));
  }
  if (at_.reward.here()) {
    reward_settings settings{.on = build_.on(),
                             .judges = judges_,
                             .tokens = tokens_,
                             .micro_batch_tokens = job_.ppo.micro_batch_tokens,
                             .replay = replay_};
    parts.reward = pointer(build_.spawn<reward_actor>(reward, std::move(settings)));
  }
}

void ppo_cast::spawn_critic(cast& parts) {
  critic_settings settings{.on = build_.on(),
                           .trained = critic_,
                           .activation_checkpointing = job_.run.activation_checkpointing,
                           .loss = value_loss_of(job_.ppo),
                           .micro_batch_tokens = job_.ppo.micro_batch_tokens,
                           .replay = replay_};
  parts.critic = pointer(build_.spawn<critic_actor>(critic, std::move(settings)));
  parts.critic_optimizer = build_.spawn_optimizer(role::critic_optimizer, critic_);
}

void ppo_cast::spawn_policy(cast& parts) {
  policy_settings settings{.on = build_.on(),
                           .trained = policy_,
                           .activation_checkpointing = job_.run.activation_checkpointing,
                           .learning = {.ppo = job_.ppo,
                                        .temperature = training_temperature(sampling_of(job_.generation)),
                                        .exact = job_.run.exact}};
  settings.rollout = build_.rolling_out(io::phase::ppo, policy_->of, tokens_, at_.policy, columns_, replay_);
  const auto handle = build_.spawn<policy_actor>(policy, std::move(settings));
  parts.policy = pointer(handle);
  parts.policy_optimizer = build_.spawn_optimizer(role::policy_optimizer, policy_);
  if (average_) {
    parts.ema =
        pointer(build_.spawn<ema_actor>(ema, ema_settings{.on = build_.on(), .trained = policy_, .average = average_}));
  }
  parts.loader = build_.spawn_loader(io::phase::ppo, std::move(data_), untyped(handle), std::move(mixture_));
}

cast ppo_cast::make() {
  load();
  cast parts = build_.with_data(data_);
  parts.checkpointer = pointer(build_.spawn<checkpointer_actor>(checkpointer, checkpointing()));
  const auto handle = build_.spawn<replay_actor>(replay, replaying());
  parts.replay = pointer(handle);
  replay_ = untyped(handle);
  spawn_scorers(parts);
  if (critic_) {
    spawn_critic(parts);
  }
  if (policy_) {
    spawn_policy(parts);
  }
  caf::anon_send(handle, introduce_atom_v, parts);
  return parts;
}

}  // namespace

cast make_ppo_cast(cast_builder& build) { return ppo_cast(build).make(); }

}  // namespace troupe::actors
