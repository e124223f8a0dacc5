// The casts of the phases before ppo: each has one model that learns or generates, on all ranks.
#include "actors/stage/stage_parts.hpp"

namespace troupe::actors {

cast stage_state::set_pairs() {
  const io::job& job = settings_->job;
  const seat all = all_ranks();
  const model_ptr m = load_policy(job.model.policy, nullptr);
  const auto tokens = load_tokens(m->folder, m.get());
  io::phase_data data = load_data(io::phase::pairs, tokens);
  io::reward_source labeller = *job.reward_named(job.pairs.reward);
  labeller.weight = 1;  // here it alone judges, whatever it weighs in PPO
  const std::vector<io::reward_source> sources = {labeller};

  std::vector<reward_judge> judges = load_judges(sources, all);
  for (const reward_judge& one : judges) {
    if (one.of) {
      require_reads(job, *tokens, m->folder, *one.of);
    }
  }

  cast parts;
  describe(data, parts);
  const auto replay_handle = spawn<replay_actor>(replay, replay_settings{.job = job,
                                                                         .on = settings_->on,
                                                                         .phase = io::phase::pairs,
                                                                         .run = settings_->run,
                                                                         .tokens = tokens,
                                                                         .reward_sources = sources,
                                                                         .source_names = data.source_names,
                                                                         .job_digest = {},
                                                                         .policy_digest = {},
                                                                         .attempt = settings_->attempt,
                                                                         .scorers = {{scorer::reward, all.members}},
                                                                         .group = work_});
  const auto reward_handle = spawn<reward_actor>(reward, reward_settings{.job = job,
                                                                         .on = settings_->on,
                                                                         .tokens = tokens,
                                                                         .judges = std::move(judges),
                                                                         .trained = nullptr,
                                                                         .source_names = {},
                                                                         .replay = untyped(replay_handle)});
  auto holder = std::make_shared<trained_model>();
  holder->of = m;
  const auto policy_handle = spawn<policy_actor>(policy, policy_settings{.job = job,
                                                                         .phase = io::phase::pairs,
                                                                         .on = settings_->on,
                                                                         .trained = holder,
                                                                         .tokens = tokens,
                                                                         .rank = all.place,
                                                                         .ranks = all.ranks(),
                                                                         .columns = open_columns(all),
                                                                         .replay = untyped(replay_handle)});
  parts.loader = spawn_loader(io::phase::pairs, std::move(data), untyped(policy_handle));
  parts.policy = pointer(policy_handle);
  parts.reward = pointer(reward_handle);
  parts.replay = pointer(replay_handle);
  self_->send(replay_handle, introduce_atom_v, parts);
  return parts;
}

cast stage_state::set_sft() {
  const io::job& job = settings_->job;
  const seat all = all_ranks();
  const trained_model_ptr trained =
      with_learner(load_policy(job.model.policy, open_weights("policy", job.place.policy_zero, all)),
                   job.sft.training.optimizer, job.place.policy_zero, open("policy gradients", all));
  const auto tokens = load_tokens(trained->of->folder, trained->of.get());
  io::phase_data data = load_data(io::phase::sft, tokens);

  cast parts;
  describe(data, parts);
  checkpointer_settings keeps = checkpointing(io::phase::sft, "update", data);
  keeps.digests["policy"] = weights_digest(settings_->on->ctx, *trained->of);
  keeps.models = {{"policy", trained}};
  keeps.saved = {{"sft", trained->of, all.first(), nullptr, 0}};
  parts.checkpointer = pointer(spawn<checkpointer_actor>(checkpointer, std::move(keeps)));
  const auto policy_handle = spawn<policy_actor>(policy, policy_settings{.job = job,
                                                                         .phase = io::phase::sft,
                                                                         .on = settings_->on,
                                                                         .trained = trained,
                                                                         .tokens = tokens,
                                                                         .rank = all.place,
                                                                         .ranks = all.ranks(),
                                                                         .columns = nullptr,
                                                                         .replay = {}});
  parts.policy = pointer(policy_handle);
  parts.policy_optimizer =
      pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{settings_->on, role::policy_optimizer, trained}));
  parts.loader = spawn_loader(io::phase::sft, std::move(data), untyped(policy_handle));
  return parts;
}

cast stage_state::set_reward() {
  const io::job& job = settings_->job;
  const std::filesystem::path start = starts().trunk;
  const seat all = all_ranks();
  const model_ptr m = load_model(start, head_kind::scalar, open_weights("reward model", job.place.reward_zero, all));
  require_lengths(job, *m);
  const trained_model_ptr trained =
      with_learner(m, job.reward.training.optimizer, job.place.reward_zero, open("reward model gradients", all));
  const auto tokens = load_tokens(start, m.get());
  io::phase_data data = load_data(io::phase::reward, tokens);
  if (data.made_pairs) {
    require_reads(job, *load_tokens(job.model.policy, nullptr), job.model.policy, *m);
  }

  cast parts;
  describe(data, parts);
  checkpointer_settings keeps = checkpointing(io::phase::reward, "update", data);
  keeps.digests["reward model"] = weights_digest(settings_->on->ctx, *m);
  keeps.models = {{"reward", trained}};
  keeps.saved = {{"reward", m, all.first(), nullptr, pad_token_of(*tokens)}};
  parts.checkpointer = pointer(spawn<checkpointer_actor>(checkpointer, std::move(keeps)));
  const auto reward_handle = spawn<reward_actor>(reward, reward_settings{.job = job,
                                                                         .on = settings_->on,
                                                                         .tokens = tokens,
                                                                         .judges = {},
                                                                         .trained = trained,
                                                                         .source_names = data.source_names,
                                                                         .replay = {}});
  parts.reward = pointer(reward_handle);
  parts.reward_optimizer =
      pointer(spawn<optimizer_actor>(optimizer, optimizer_settings{settings_->on, role::reward_optimizer, trained}));
  parts.loader = spawn_loader(io::phase::reward, std::move(data), untyped(reward_handle));
  return parts;
}

}  // namespace troupe::actors
