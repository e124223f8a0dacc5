#include "actors/cast/reference.hpp"
#include "actors/cast/reward.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/models/options.hpp"
#include "actors/stage/casts.hpp"
#include "actors/stage/ppo_learners.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace troupe::actors {

namespace {

/// What the cast is made of, and the cast. Models, and what their ranks alone need, are null on other ranks.
class ppo_cast {
public:
  explicit ppo_cast(cast_builder& build)
      : build_(build), job_(build.job()), at_(build.ranks().seats(job_.place)), learners_(build, at_) {}

  cast make();

private:
  void load();
  void load_scorers();
  /// That those which score the policy's sequences can read them.
  void require_fit() const;
  /// Of all models' weights, on every rank, whichever ranks have the models. Collective.
  void digest_models();

  checkpointer_settings checkpointing() const;
  replay_settings replaying() const;
  void spawn_scorers(cast& parts);
  std::optional<rollout_settings> rolling_out() const;

  cast_builder& build_;
  const io::job& job_;
  seating at_;
  ppo_learners learners_;
  model_ptr reference_;
  std::vector<reward_judge> judges_;
  engine::communicator_ptr columns_;
  io::phase_data data_;
  std::map<std::string, std::string> model_digests_;  ///< of each model's weights at the phase's start
  caf::actor replay_;
};

void ppo_cast::load_scorers() {
  const auto shared = build_.ranks().open_weights("reference", job_.place.frozen_zero, at_.reference);
  if (at_.reference.here()) {
    reference_ = build_.load().any(build_.load().starts().reference, head_kind::language_model,
                                   build_.load().scoring("reference", shared, at_.reference));
  }
  judges_ = build_.load().judges(job_.rewards, at_.reward);
}

void ppo_cast::require_fit() const {
  const trained_model_ptr& critic = learners_.critic();
  std::vector<const model*> readers = {reference_.get(), critic ? critic->of.get() : nullptr};
  for (const reward_judge& judge : judges_) {
    readers.push_back(judge.of.get());
  }
  std::set<std::filesystem::path> read;  // several may come from one folder
  for (const model* reader : readers) {
    if (reader != nullptr && read.insert(reader->folder).second) {
      require_reads(job_, *learners_.tokens(), build_.load().starts().policy, *reader);
    }
  }
}

void ppo_cast::digest_models() {
  model_digests_ = learners_.digests();
  model_digests_["reference"] = build_.digest_on_all(reference_, at_.reference);
  for (size_t i = 0; i < job_.rewards.size(); ++i) {
    const io::reward_source& source = job_.rewards[i];
    if (source.kind == io::reward_kind::model) {
      model_digests_["rewards." + source.name] =
          build_.digest_on_all(judges_.empty() ? nullptr : judges_[i].of, at_.reward);
    }
  }
}

void ppo_cast::load() {
  columns_ = build_.open_generation(at_.policy);
  load_scorers();
  require_fit();
  data_ = build_.load().data(io::phase::ppo, learners_.tokens());
  learners_.load_mixture();
  digest_models();
}

checkpointer_settings ppo_cast::checkpointing() const {
  checkpointer_settings keeps = build_.checkpointing(io::phase::ppo, "iteration", data_);
  keeps.digests.insert(model_digests_.begin(), model_digests_.end());
  learners_.add_to(keeps);
  return keeps;
}

replay_settings ppo_cast::replaying() const {
  replay_settings collects = build_.replaying(io::phase::ppo, learners_.tokens());
  collects.scorers = {{scorer::reference, at_.reference.members},
                      {scorer::reward, at_.reward.members},
                      {scorer::critic, at_.critic.members}};
  collects.reward_sources = job_.rewards;
  collects.mixing = learners_.mixing(expected_of(job_, *learners_.tokens(), model_digests_.at("policy")));
  collects.origin.source_names = data_.source_names;
  collects.origin.policy_digest = model_digests_.at("policy");
  collects.origin.reference_digest = model_digests_.at("reference");
  collects.origin.critic_digest = model_digests_.at("critic");
  return collects;
}

void ppo_cast::spawn_scorers(cast& parts) {
  if (at_.reference.here()) {
    reference_settings settings{.on = build_.on(),
                                .of = reference_,
                                .learning = nullptr,
                                .temperature = training_temperature(sampling_of(job_.generation)),
                                .micro_batch_tokens = job_.ppo.micro_batch_tokens,
                                .replay = replay_};
    parts.reference = pointer(build_.spawn<reference_actor>(reference, std::move(settings)));
  }
  if (at_.reward.here()) {
    reward_settings settings{.on = build_.on(),
                             .source_names = data_.source_names,
                             .judges = judges_,
                             .tokens = learners_.tokens(),
                             .micro_batch_tokens = job_.ppo.micro_batch_tokens,
                             .replay = replay_};
    parts.reward = pointer(build_.spawn<reward_actor>(reward, std::move(settings)));
  }
}

std::optional<rollout_settings> ppo_cast::rolling_out() const {
  if (!learners_.policy()) {
    return std::nullopt;
  }
  rollout_settings rollout =
      build_.rolling_out(io::phase::ppo, learners_.policy()->of, learners_.tokens(), at_.policy, columns_, replay_);
  rollout.journal = build_.journal(io::phase::ppo, at_.policy);
  return rollout;
}

cast ppo_cast::make() {
  load();
  cast parts = build_.with_data(data_);
  parts.checkpointer = pointer(build_.spawn<checkpointer_actor>(checkpointer, checkpointing()));
  const auto handle = build_.spawn<replay_actor>(replay, replaying());
  parts.replay = pointer(handle);
  replay_ = untyped(handle);
  spawn_scorers(parts);
  if (job_.mixing_window() > 0) {
    learners_.spawn_policy_scorer(parts, replay_);
  }
  learners_.spawn_critic(parts, replay_);
  learners_.spawn_policy(parts, io::phase::ppo, rolling_out(), std::move(data_));
  caf::anon_send(handle, introduce_atom_v, parts);
  return parts;
}

}  // namespace

cast make_ppo_cast(cast_builder& build) { return ppo_cast(build).make(); }

}  // namespace troupe::actors
