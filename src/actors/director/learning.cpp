#include "actors/director/learning.hpp"

#include "actors/director/ppo_state.hpp"
#include "actors/director/replies.hpp"
#include "actors/director/update.hpp"
#include "actors/models/plan_options.hpp"

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {
namespace {

constexpr const char* stopped_early_name = "policy/stopped_early";

/// In memory of its own: a task that fills it may outlive whoever awaits it.
using shared_statistics = std::shared_ptr<statistics>;

/// The step that follows `done` of the updates of so many iterations. Each rollback has halved the learning rates.
step_command step_after(const director_context& on, uint64_t done, int64_t iterations,
                        const io::optimizer_options& options) {
  const io::ppo_section& ppo = on.job().ppo;
  const engine::schedule_settings schedule = schedule_of(options, iterations * ppo.epochs * ppo.minibatches);
  const double rate = engine::learning_rate(schedule, static_cast<int64_t>(done));
  return {done + 1, rate * std::exp2(-rollbacks(on.state()))};
}

/// Iterations that train the critic alone take nothing from the policy's schedule.
step_command due_policy_step(const director_context& on) {
  const io::ppo_section& ppo = on.job().ppo;
  return step_after(on, policy_updates_done(on.state()), ppo.iterations - ppo.critic_only_iterations, ppo.policy);
}

step_command due_critic_step(const director_context& on) {
  const io::ppo_section& ppo = on.job().ppo;
  return step_after(on, updates_done(on.state()), ppo.iterations, ppo.critic);
}

/// What a model's update was like, beside the statistics of its losses.
void add_update(statistics& to, const std::string& model, const train_reply& learned, const step_command& step,
                const step_reply& stepped) {
  to[model + "/grad_norm"] = stepped.gradient_norm;
  to[model + "/learning_rate"] = step.learning_rate;
  to["time/" + model + "_train_s"] = learned.seconds;
  to["time/" + model + "_step_s"] = stepped.seconds;
  add_communication(to, model, stepped);
  to["rate/" + model + "_train_tokens_per_s"] = per_second(static_cast<double>(learned.tokens), learned.seconds);
}

bool too_far(const io::ppo_section& ppo, const statistics& of_policy) {
  return ppo.target_kl > 0 && statistic(of_policy, "policy/approx_kl_nats") > ppo.target_kl;
}

task<> update_policy(director_context& on, serve_reply batch, shared_statistics out) {
  const io::ppo_section& ppo = on.job().ppo;
  train_command command;
  command.batch_id = batch.batch_id;
  command.loss_terms = batch.loss_terms;
  command.kl_coefficient = kl_coefficient(on.state());
  if (ppo.ptx_coef > 0) {
    const serve_reply text = co_await on.serve(serving::mixture, updates_done(on.state()));
    command.mixture_batch_id = text.batch_id;
    command.mixture_loss_terms = text.loss_terms;
    command.mixture_coefficient = ppo.ptx_coef;
  }
  const train_reply learned = co_await compute_gradients(on, learning_policy, command);
  *out = learned.statistics;
  if (too_far(ppo, *out)) {
    co_await discard_gradients(on, learning_policy);
    (*out)[stopped_early_name] = 1;
    co_return;
  }
  const step_command step = due_policy_step(on);
  const step_reply stepped = co_await take_step(on, learning_policy, step);
  add_update(*out, learning_policy.name, learned, step, stepped);
}

task<> update_critic(director_context& on, serve_reply batch, shared_statistics out) {
  const train_command command{.batch_id = batch.batch_id, .loss_terms = batch.loss_terms};
  const train_reply learned = co_await compute_gradients(on, learning_critic, command);
  const step_command step = due_critic_step(on);
  const step_reply stepped = co_await take_step(on, learning_critic, step);
  *out = learned.statistics;
  add_update(*out, learning_critic.name, learned, step, stepped);
}

/// At the same time where they are on ranks of their own. Neither looks at what the other finds.
task<> update_both(director_context& on, serve_reply batch, shared_statistics policy, shared_statistics critic) {
  std::vector<task<>> updates;
  updates.push_back(update_policy(on, batch, std::move(policy)));
  if (on.company().share_ranks(&cast::policy, &cast::critic)) {
    co_await on.concurrent().run(std::move(updates));
    updates.clear();
  }
  updates.push_back(update_critic(on, batch, std::move(critic)));
  co_await on.concurrent().run(std::move(updates));
}

/// One update with a minibatch. Returns whether the policy may learn more from this experience.
task<bool> learn_from(director_context& on, serve_reply batch, bool critic_only, iteration_statistics& all) {
  const auto policy = std::make_shared<statistics>();
  const auto critic = std::make_shared<statistics>();
  if (critic_only) {
    co_await update_critic(on, batch, critic);
  } else {
    co_await update_both(on, batch, policy, critic);
  }
  all.add(*policy);
  all.add(*critic);
  const bool stopped_early = policy->contains(stopped_early_name);
  if (!critic_only && !stopped_early) {
    count_policy_update(on.state());
  }
  count_update(on.state());
  co_return !stopped_early;
}

}  // namespace

task<statistics> learn(director_context& on, uint64_t iteration) {
  const io::ppo_section& ppo = on.job().ppo;
  const bool critic_only = iteration <= static_cast<uint64_t>(ppo.critic_only_iterations);
  const uint64_t before = policy_updates_done(on.state());
  iteration_statistics all;
  bool more = true;
  for (uint64_t epoch = 0; epoch < static_cast<uint64_t>(ppo.epochs) && more; ++epoch) {
    for (uint64_t index = 0; index < static_cast<uint64_t>(ppo.minibatches) && more; ++index) {
      const minibatch_command wanted{iteration, epoch, index};
      const auto served = co_await on.ask_all<replay_actor, serve_reply>(&cast::replay, serve_atom_v, wanted);
      if (served.front().loss_terms > 0) {  // else its answers were too short: counted in answer/too_short_share
        more = co_await learn_from(on, served.front(), critic_only, all);
      }
    }
  }
  statistics out = all.combined();
  out["policy/updates"] = static_cast<double>(policy_updates_done(on.state()) - before);
  co_return out;
}

}  // namespace troupe::actors
