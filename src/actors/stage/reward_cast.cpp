#include "actors/cast/reward.hpp"
#include "actors/models/model_fit.hpp"
#include "actors/models/options.hpp"
#include "actors/models/special_tokens.hpp"
#include "actors/stage/casts.hpp"

#include <utility>

namespace troupe::actors {

cast make_reward_cast(cast_builder& build) {
  const io::job& job = build.job();
  const std::filesystem::path start = build.load().starts().trunk;
  const seat all = build.ranks().all_ranks();
  const model_loading how =
      build.ranks().open_learning("reward model", job.place.reward_zero, build.load().learned(), all);
  const model_ptr m = build.load().any(start, head_kind::scalar, how);
  require_lengths(job, *m);
  const auto gradients = build.ranks().open("reward model gradients", all);
  const trained_model_ptr trained =
      build.load().learning("reward model", m, job.reward.training.optimizer, job.place.reward_zero, gradients);
  const auto tokens = build.load().tokens(start, m.get());
  io::phase_data data = build.load().data(io::phase::reward, tokens);
  if (data.made_pairs) {  // ids of the policy's tokenizer
    const std::filesystem::path& policy = job.model.policy;
    const auto written_with = policy == start ? tokens : build.load().tokens(policy, nullptr);
    require_reads(job, *written_with, policy, *m);
  }

  cast parts = build.with_data(data);
  checkpointer_settings keeps = build.checkpointing(io::phase::reward, "update", data);
  keeps.digests["reward model"] = build.digest_of(*m);
  keeps.models = {{"reward", trained}};
  keeps.saved = {{"reward", m, all.first(), nullptr, pad_token_of(*tokens)}};
  parts.checkpointer = pointer(build.spawn<checkpointer_actor>(checkpointer, std::move(keeps)));
  reward_settings learns{.on = build.on(),
                         .source_names = data.source_names,
                         .tokens = tokens,
                         .trained = trained,
                         .activation_checkpointing = job.run.activation_checkpointing,
                         .loss = pair_loss_of(job.reward)};
  const auto reward_handle = build.spawn<reward_actor>(reward, std::move(learns));
  parts.reward = pointer(reward_handle);
  parts.reward_optimizer = build.spawn_optimizer(role::reward_optimizer, trained);
  parts.loader = build.spawn_loader(io::phase::reward, std::move(data), untyped(reward_handle));
  return parts;
}

}  // namespace troupe::actors
