#include "actors/cast/policy.hpp"
#include "actors/stage/casts.hpp"

#include <utility>

namespace troupe::actors {

cast make_sft_cast(cast_builder& build) {
  const io::job& job = build.job();
  const seat all = build.ranks().all_ranks();
  const model_loading how = build.ranks().open_learning("policy", job.place.policy_zero, build.load().learned(), all);
  const auto gradients = build.ranks().open("policy gradients", all);
  const trained_model_ptr trained = build.load().learning("policy", build.load().policy(job.model.policy, how),
                                                          job.sft.training.optimizer, job.place.policy_zero, gradients);
  const auto tokens = build.load().tokens(trained->of->folder, trained->of.get());
  io::phase_data data = build.load().data(io::phase::sft, tokens);

  cast parts = build.with_data(data);
  checkpointer_settings keeps = build.checkpointing(io::phase::sft, "update", data);
  keeps.digests["policy"] = build.digest_of(*trained->of);
  keeps.models = {{"policy", trained}};
  keeps.saved = {{"sft", trained->of, all.first(), nullptr, 0}};
  parts.checkpointer = pointer(build.spawn<checkpointer_actor>(checkpointer, std::move(keeps)));
  const auto policy_handle = build.spawn<policy_actor>(
      policy, policy_settings{
                  .on = build.on(), .trained = trained, .activation_checkpointing = job.run.activation_checkpointing});
  parts.policy = pointer(policy_handle);
  parts.policy_optimizer = build.spawn_optimizer(role::policy_optimizer, trained);
  parts.loader = build.spawn_loader(io::phase::sft, std::move(data), untyped(policy_handle));
  return parts;
}

}  // namespace troupe::actors
