#include "actors/cast/policy.hpp"
#include "actors/cast/reward.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/stage/casts.hpp"

#include <memory>
#include <utility>

namespace troupe::actors {

/// In the pairs phase one source judges alone, whatever it weighs in PPO.
static io::reward_source labeller_of(const io::job& job) {
  io::reward_source labeller = *job.reward_named(job.pairs.reward);
  labeller.weight = 1;
  return labeller;
}

cast make_pairs_cast(cast_builder& build) {
  const io::job& job = build.job();
  const seat all = build.ranks().all_ranks();
  const auto generating = std::make_shared<trained_model>();
  generating->of = build.load().policy(job.model.policy, build.load().frozen("policy", nullptr, all));
  const model& m = *generating->of;
  const auto tokens = build.load().tokens(m.folder, &m);
  io::phase_data data = build.load().data(io::phase::pairs, tokens);
  const std::vector<io::reward_source> sources = {labeller_of(job)};
  std::vector<reward_judge> judges = build.load().judges(sources, all);
  for (const reward_judge& judge : judges) {
    if (judge.of) {
      require_reads(job, *tokens, m.folder, *judge.of);
    }
  }

  cast parts = build.with_data(data);
  replay_settings collects = build.replaying(io::phase::pairs, tokens);
  collects.scorers = {{scorer::reward, all.members}};
  collects.reward_sources = sources;
  const auto replay_handle = build.spawn<replay_actor>(replay, std::move(collects));
  reward_settings judging{.on = build.on(),
                          .source_names = data.source_names,
                          .judges = std::move(judges),
                          .tokens = tokens,
                          .micro_batch_tokens = job.ppo.micro_batch_tokens,
                          .replay = untyped(replay_handle)};
  parts.reward = pointer(build.spawn<reward_actor>(reward, std::move(judging)));
  policy_settings generates{.on = build.on(), .trained = generating};
  generates.rollout = build.rolling_out(io::phase::pairs, generating->of, tokens, all, build.open_generation(all),
                                        untyped(replay_handle));
  const auto policy_handle = build.spawn<policy_actor>(policy, std::move(generates));
  parts.policy = pointer(policy_handle);
  parts.loader = build.spawn_loader(io::phase::pairs, std::move(data), untyped(policy_handle));
  parts.replay = pointer(replay_handle);
  caf::anon_send(replay_handle, introduce_atom_v, parts);
  return parts;
}

}  // namespace troupe::actors
