// The cast of the ppo phase: four models, each on the ranks that the job gives it.
#include "actors/stage/seating.hpp"
#include "actors/stage/stage_parts.hpp"
#include "base/digest.hpp"
#include "engine/optim/rank_weights.hpp"

namespace troupe::actors {

std::string weights_digest(context& ctx, model& m) {
  engine::gathered_weights weights(m.weights);
  const engine::weights_view view = weights.view();
  digest_stream stream;
  const std::vector<engine::arena_range> segments = m.net.segments();
  for (size_t s = 0; s < segments.size(); ++s) {
    const engine::held_segment held(ctx, view.access, static_cast<int64_t>(s));
    stream.update(std::as_bytes(std::span(view.data + segments[s].first, static_cast<size_t>(segments[s].size()))));
  }
  return digest_text(stream.value());
}

namespace {

/// What one rank alone says, on every rank. Collective.
std::string told_to_all(engine::communicator& group, const std::string& mine) {
  std::string all;
  for (const std::vector<std::byte>& one :
       engine::gather_bytes(group, std::as_bytes(std::span(mine)), {.label = "digests"})) {
    for (const std::byte b : one) {
      all.push_back(static_cast<char>(b));
    }
  }
  return all;
}

}  // namespace

/// What the cast is made of. Models, and what their ranks alone need, are null on other ranks.
struct stage_state::ppo_material {
  seating at;
  trained_model_ptr policy, critic;
  model_ptr reference;
  std::vector<reward_judge> judges;
  std::shared_ptr<engine::weight_average> average;
  engine::communicator_ptr columns;
  std::shared_ptr<const io::tokenizer> tokens;
  io::phase_data data;
  std::optional<io::phase_data> mixture;
  std::map<std::string, std::string> model_digests;  ///< of the weights of each at the phase's start
};

void stage_state::load_learners(ppo_material& m) const {
  const io::job& job = settings_->job;
  const auto policy_weights = open_weights("policy", job.place.policy_zero, m.at.policy);
  const auto critic_weights = open_weights("critic", job.place.critic_zero, m.at.critic);
  const auto policy_gradients = open("policy gradients", m.at.policy);
  const auto critic_gradients = open("critic gradients", m.at.critic);
  if (m.at.policy.here()) {
    m.policy = with_learner(load_policy(starts().policy, policy_weights), job.ppo.policy, job.place.policy_zero,
                            policy_gradients);
  }
  if (m.at.critic.here()) {
    model_ptr critic = load_model(starts().critic, head_kind::scalar, critic_weights);
    settings_->on->pulse_of(role::stage).touch();
    m.critic = with_learner(std::move(critic), job.ppo.critic, job.place.critic_zero, critic_gradients);
  }
  const auto average = open("policy average", m.at.policy);
  m.columns = open_columns(m.at.policy);
  if (m.policy && job.ppo.ema_decay > 0) {
    m.average = std::make_shared<engine::weight_average>(m.policy->learner->plan(), average,
                                                         m.policy->of->weights.data(), job.ppo.ema_decay);
  }
}

void stage_state::load_scorers(ppo_material& m) const {
  const io::job& job = settings_->job;
  const auto shared = open_weights("reference", job.place.frozen_zero, m.at.reference);
  if (m.at.reference.here()) {
    m.reference = load_model(starts().reference, head_kind::language_model, shared);
    settings_->on->pulse_of(role::stage).touch();
  }
  m.judges = load_judges(job.rewards, m.at.reward);
}

void stage_state::require_fit(const ppo_material& m) const {
  std::vector<const model*> readers = {m.reference.get(), m.critic ? m.critic->of.get() : nullptr};
  for (const reward_judge& one : m.judges) {
    readers.push_back(one.of.get());
  }
  for (const model* reader : readers) {
    if (reader != nullptr) {
      require_reads(settings_->job, *m.tokens, starts().policy, *reader);
    }
  }
}

/// On every rank, whichever ranks have the models. Collective.
std::map<std::string, std::string> stage_state::digests_of(const ppo_material& m) const {
  std::map<std::string, std::string> digests;
  const auto add = [&](const std::string& name, const model_ptr& one, const seat& of) {
    const bool takes_part = one && (of.first() || one->weights.sharded());  // shards are gathered by all
    const std::string digest = takes_part ? weights_digest(settings_->on->ctx, *one) : "";
    settings_->on->pulse_of(role::stage).touch();
    digests[name] = told_to_all(*work_, of.first() ? digest : "");
  };
  add("policy", m.policy ? m.policy->of : nullptr, m.at.policy);
  add("critic", m.critic ? m.critic->of : nullptr, m.at.critic);
  add("reference", m.reference, m.at.reference);
  for (size_t i = 0; i < settings_->job.rewards.size(); ++i) {
    const io::reward_source& source = settings_->job.rewards[i];
    if (source.kind == io::reward_kind::model) {
      add("rewards." + source.name, m.judges.empty() ? nullptr : m.judges[i].of, m.at.reward);
    }
  }
  return digests;
}

stage_state::ppo_material stage_state::load_ppo() const {
  const io::job& job = settings_->job;
  ppo_material m;
  m.at = seating_of(job.place, ranks_->rank(), ranks_->size());
  load_learners(m);
  load_scorers(m);
  m.tokens = load_tokens(starts().policy, m.policy ? m.policy->of.get() : nullptr);
  require_fit(m);
  m.data = load_data(io::phase::ppo, m.tokens);
  if (m.policy && job.ppo.ptx_coef > 0) {
    m.mixture = load_data(io::phase::sft, m.tokens);
  }
  m.model_digests = digests_of(m);
  return m;
}

caf::strong_actor_ptr stage_state::spawn_checkpointer(const ppo_material& m) {
  checkpointer_settings s = checkpointing(io::phase::ppo, "iteration", m.data);
  s.average = m.average;
  s.digests.insert(m.model_digests.begin(), m.model_digests.end());
  if (m.mixture) {
    s.digests["sft data"] = digest_text(m.mixture->digest);
  }
  if (m.policy) {
    s.models.push_back({"policy", m.policy});
    s.saved.push_back({"policy", m.policy->of, m.at.policy.first(), nullptr, 0});
  }
  if (m.critic) {
    s.models.push_back({"critic", m.critic});
    s.saved.push_back({"critic", m.critic->of, m.at.critic.first(), nullptr, pad_token_of(*m.tokens)});
  }
  if (m.average) {
    s.saved.push_back({"policy-ema", m.policy->of, m.at.policy.first(), m.average, 0});
  }
  return pointer(spawn<checkpointer_actor>(checkpointer, std::move(s)));
}

replay_actor stage_state::spawn_replay(const ppo_material& m) {
  const io::job& job = settings_->job;
  return spawn<replay_actor>(replay, replay_settings{.job = job,
                                                     .on = settings_->on,
                                                     .shares = shares(),
                                                     .phase = io::phase::ppo,
                                                     .run = settings_->run,
                                                     .tokens = m.tokens,
                                                     .reward_sources = job.rewards,
                                                     .source_names = m.data.source_names,
                                                     .job_digest = digests(m.data).at("job"),
                                                     .policy_digest = m.model_digests.at("policy"),
                                                     .attempt = settings_->attempt,
                                                     .scorers = {{scorer::reference, m.at.reference.members},
                                                                 {scorer::reward, m.at.reward.members},
                                                                 {scorer::critic, m.at.critic.members}},
                                                     .group = work_});
}

void stage_state::spawn_scorers(const ppo_material& m, const caf::actor& replay, cast& parts) {
  const io::job& job = settings_->job;
  if (m.at.reference.here()) {
    const float temperature = training_temperature(sampling_of(job.generation));
    parts.reference =
        pointer(spawn<reference_actor>(reference, reference_settings{.on = settings_->on,
                                                                     .of = m.reference,
                                                                     .temperature = temperature,
                                                                     .micro_batch_tokens = job.ppo.micro_batch_tokens,
                                                                     .replay = replay}));
  }
  if (m.at.reward.here()) {
    parts.reward = pointer(spawn<reward_actor>(reward, reward_settings{.job = job,
                                                                       .on = settings_->on,
                                                                       .tokens = m.tokens,
                                                                       .judges = m.judges,
                                                                       .trained = nullptr,
                                                                       .source_names = {},
                                                                       .replay = replay}));
  }
  if (m.critic) {
    parts.critic = pointer(spawn<critic_actor>(
        critic, critic_settings{.job = job, .on = settings_->on, .trained = m.critic, .replay = replay}));
    parts.critic_optimizer =
        pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{settings_->on, role::critic_optimizer, m.critic}));
  }
}

void stage_state::spawn_policy(ppo_material& m, const caf::actor& replay, cast& parts) {
  const io::job& job = settings_->job;
  const auto handle = spawn<policy_actor>(policy, policy_settings{.job = job,
                                                                  .phase = io::phase::ppo,
                                                                  .on = settings_->on,
                                                                  .trained = m.policy,
                                                                  .tokens = m.tokens,
                                                                  .rank = m.at.policy.place,
                                                                  .ranks = m.at.policy.ranks(),
                                                                  .columns = m.columns,
                                                                  .replay = replay});
  parts.policy = pointer(handle);
  parts.policy_optimizer =
      pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{settings_->on, role::policy_optimizer, m.policy}));
  if (m.average) {
    parts.ema = pointer(spawn<ema_actor>(ema, ema_settings{settings_->on, m.policy->of, m.average}));
  }
  parts.loader = spawn_loader(io::phase::ppo, std::move(m.data), untyped(handle), std::move(m.mixture));
}

cast stage_state::set_ppo() {
  ppo_material m = load_ppo();
  cast parts;
  describe(m.data, parts);
  parts.checkpointer = spawn_checkpointer(m);
  const replay_actor replay = spawn_replay(m);
  parts.replay = pointer(replay);
  spawn_scorers(m, untyped(replay), parts);
  if (m.policy) {
    spawn_policy(m, untyped(replay), parts);
  }
  self_->send(replay, introduce_atom_v, parts);
  return parts;
}

}  // namespace troupe::actors
