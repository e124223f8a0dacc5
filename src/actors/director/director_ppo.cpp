// The plan of PPO: roll out, assemble, learn.
#include "actors/cast/critic.hpp"
#include "actors/cast/ema.hpp"
#include "actors/cast/optimizer.hpp"
#include "actors/cast/policy.hpp"
#include "actors/cast/replay.hpp"
#include "actors/director/director_plans.hpp"
#include "actors/models/plan_options.hpp"
#include "base/stopwatch.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

namespace troupe::actors {

namespace {

constexpr const char* kl_coefficient_key = "kl_coefficient";
constexpr const char* updates_key = "updates";
constexpr const char* rollbacks_key = "rollbacks";
constexpr const char* scale_prefix = "reward_scale_";

statistics with_prefix(const std::string& prefix, const statistics& values) {
  statistics out;
  for (const auto& [name, value] : values) {
    out[prefix + name] = value;
  }
  return out;
}

}  // namespace

int64_t director_state::ppo_updates() const {
  const io::ppo_section& ppo = settings_->job.ppo;
  return ppo.iterations * ppo.epochs * ppo.minibatches;
}

task<assemble_reply> director_state::assemble(uint64_t iteration, bool training, std::string keep) {
  const auto replays = everyone<replay_actor>(&cast::replay);
  assemble_command command;
  command.iteration = iteration;
  command.policy_version = updates_done();
  command.kl_coefficient = statistic(state_.values, kl_coefficient_key);
  command.training = training;
  command.keep = std::move(keep);
  for (const char* name : {"count", "mean", "squares"}) {
    command.reward_scale[name] = statistic(state_.values, std::string(scale_prefix) + name);
  }
  std::vector<assemble_reply> replies = co_await ask_everyone<assemble_reply>(self_, replays, assemble_atom_v, command);
  assemble_reply& reply = replies.front();  // every rank has assembled the whole rollout
  if (training) {
    for (const auto& [name, value] : reply.reward_scale) {
      state_.values[scale_prefix + name] = value;
    }
  }
  co_return std::move(reply);
}

task<statistics> director_state::evaluate_policy(uint64_t iteration) {
  if (settings_->job.evaluation.prompts == 0 || company_.front().held_out == 0) {
    co_return statistics{};
  }
  // An evaluation belongs to its iteration, which has been learned from: a stop waits until it is recorded.
  evaluating_ = iteration > 0;
  show("evaluate", state_.counter, static_cast<uint64_t>(settings_->job.ppo.iterations), "iterations", "");
  co_await roll_out(serving::held_out_prompts, 0);
  std::string keep = fmt::format("evaluations/iteration-{:06}.h5", iteration);
  const assemble_reply reply = co_await assemble(iteration, false, std::move(keep));
  evaluating_ = false;
  co_return with_prefix("evaluation/", reply.statistics);
}

uint64_t director_state::updates_done() const { return static_cast<uint64_t>(statistic(state_.values, updates_key)); }

step_command director_state::due_step(const io::optimizer_options& options) const {
  const engine::schedule_settings schedule = schedule_of(options, ppo_updates());
  const double rate = engine::learning_rate(schedule, static_cast<int64_t>(updates_done()));
  return {updates_done() + 1, rate * std::exp2(-statistic(state_.values, rollbacks_key))};
}

/// What a model's update was like, beside the statistics of its losses.
static void add_update(statistics& to, const std::string& model, const train_reply& learned, const step_command& step,
                       const step_reply& stepped) {
  to[model + "/grad_norm"] = stepped.gradient_norm;
  to[model + "/learning_rate"] = step.learning_rate;
  to["time/" + model + "_train_s"] = learned.seconds;
  to["time/" + model + "_step_s"] = stepped.seconds;
  add_communication(to, model, stepped);
  to["rate/" + model + "_train_tokens_per_s"] = per_second(static_cast<double>(learned.tokens), learned.seconds);
}

task<> director_state::update_policy(serve_reply batch, shared_statistics to) {
  const io::ppo_section& ppo = settings_->job.ppo;
  const auto policies = everyone<policy_actor>(&cast::policy);
  const auto optimizers = everyone<optimizer_actor>(&cast::policy_optimizer);
  train_command command;
  command.batch_id = batch.batch_id;
  command.loss_terms = batch.loss_terms;
  command.kl_coefficient = statistic(state_.values, kl_coefficient_key);
  if (ppo.ptx_coef > 0) {
    const serve_reply text = co_await serve(serving::mixture, updates_done());
    command.mixture_batch_id = text.batch_id;
    command.mixture_loss_terms = text.loss_terms;
    command.mixture_coefficient = ppo.ptx_coef;
  }
  const train_reply learned = together(co_await ask_everyone<train_reply>(self_, policies, train_atom_v, command));
  statistics out = learned.statistics;
  if (ppo.target_kl > 0 && statistic(out, "policy/approx_kl_nats") > ppo.target_kl) {
    for (const optimizer_actor& one : optimizers) {
      self_->send(one, discard_atom_v);
    }
    out["policy/stopped_early"] = 1;
    *to = std::move(out);
    co_return;
  }
  const step_command step = due_step(ppo.policy);
  step_reply stepped = together(co_await ask_everyone<step_reply>(self_, optimizers, step_atom_v, step));
  if (has(&cast::ema)) {
    const auto averages = everyone<ema_actor>(&cast::ema);
    const std::vector<double> folded = co_await ask_everyone<double>(self_, averages, fold_atom_v);
    stepped.seconds += *std::max_element(folded.begin(), folded.end());
  }
  add_update(out, "policy", learned, step, stepped);
  *to = std::move(out);
}

task<> director_state::update_critic(serve_reply batch, shared_statistics to) {
  const auto critics = everyone<trainee_actor>(&cast::critic);
  const auto optimizers = everyone<optimizer_actor>(&cast::critic_optimizer);
  const train_command command{.batch_id = batch.batch_id, .loss_terms = batch.loss_terms};
  const train_reply learned = together(co_await ask_everyone<train_reply>(self_, critics, train_atom_v, command));
  const step_command step = due_step(settings_->job.ppo.critic);
  const step_reply stepped = together(co_await ask_everyone<step_reply>(self_, optimizers, step_atom_v, step));
  statistics out = learned.statistics;
  add_update(out, "critic", learned, step, stepped);
  *to = std::move(out);
}

/// At the same time where they are on ranks of their own. Neither looks at what the other finds.
task<> director_state::update_both(serve_reply batch, shared_statistics policy, shared_statistics critic) {
  std::vector<task<>> parts;
  parts.push_back(update_policy(batch, std::move(policy)));
  if (share_ranks(&cast::policy, &cast::critic)) {
    co_await concurrent_.run(std::move(parts));
    parts.clear();
  }
  parts.push_back(update_critic(batch, std::move(critic)));
  co_await concurrent_.run(std::move(parts));
}

task<statistics> director_state::learn(uint64_t iteration) {
  const io::ppo_section& ppo = settings_->job.ppo;
  const auto replays = everyone<replay_actor>(&cast::replay);
  const bool critic_only = iteration <= static_cast<uint64_t>(ppo.critic_only_iterations);
  updates_of_iteration updates_done;
  bool stopped_early = false;
  uint64_t updates = 0;
  for (uint64_t epoch = 0; epoch < static_cast<uint64_t>(ppo.epochs) && !stopped_early; ++epoch) {
    for (uint64_t index = 0; index < static_cast<uint64_t>(ppo.minibatches) && !stopped_early; ++index) {
      const minibatch_command wanted{iteration, epoch, index};
      const std::vector<serve_reply> served = co_await ask_everyone<serve_reply>(self_, replays, serve_atom_v, wanted);
      const serve_reply& batch = served.front();
      if (batch.loss_terms == 0) {
        continue;  // every answer of it was too short: counted in answer/too_short_share
      }
      const auto policy = std::make_shared<statistics>();
      const auto critic = std::make_shared<statistics>();
      if (critic_only) {
        co_await update_critic(batch, critic);
      } else {
        co_await update_both(batch, policy, critic);
        updates_done.add(*policy);
        stopped_early = policy->contains("policy/stopped_early");
      }
      updates_done.add(*critic);
      state_.values[updates_key] += 1;
      ++updates;
    }
  }
  statistics out = updates_done.combined();
  out["policy/updates"] = static_cast<double>(updates);
  co_return out;
}

task<statistics> director_state::iterate(uint64_t iteration, metrics_record& line) {
  const io::ppo_section& ppo = settings_->job.ppo;
  statistics out = co_await roll_out(serving::prompts, iteration - 1);
  std::string keep = fmt::format("experience/iteration-{:06}.h5", iteration);
  assemble_reply assembled = co_await assemble(iteration, true, std::move(keep));
  merge(out, assembled.statistics);
  out["kl/coefficient"] = statistic(state_.values, kl_coefficient_key);
  if (iteration % static_cast<uint64_t>(ppo.log_rollouts_every) == 0 || iteration == 1) {
    line.rollouts = std::move(assembled.rollouts);
  }
  const double kl_nats = statistic(out, "kl/per_sequence_nats");
  if (ppo.max_kl > 0 && kl_nats > ppo.max_kl) {
    throw error(errc::not_finite,
                "the KL from the reference is {:.3f} nats per sequence, above ppo.max-kl = {}; the experience is kept "
                "in experience/iteration-{:06}.h5. Lower ppo.policy-learning-rate or raise ppo.kl-coef",
                kl_nats, ppo.max_kl, iteration);
  }
  const stopwatch watch;
  const statistics learned = co_await learn(iteration);
  merge(out, learned);
  out["time/learn_s"] = watch.seconds();
  engine::kl_controller_state controller{.coefficient = statistic(state_.values, kl_coefficient_key)};
  engine::update_kl_controller(kl_controller_of(ppo), controller, kl_nats,
                               static_cast<int64_t>(assembled.sample_reward.size()));
  state_.values[kl_coefficient_key] = controller.coefficient;
  co_return out;
}

/// Where to go back to. If nothing has been learned since the last checkpoint, that one's own weights diverge, and it would end
/// in the same place whatever the learning rates: then it is the one before.
task<director_state::checkpoint_search> director_state::find_sound_checkpoint(std::string reason) {
  const bool learned = statistic(state_.values, updates_key) != statistic(checkpointed_.values, updates_key);
  if (!learned && checkpointed_.counter == 0) {
    throw error(errc::not_finite, "{}. Nothing has been learned yet: no rollback leads anywhere else", reason);
  }
  checkpoint_search search = co_await find_checkpoint(learned ? any_counter : checkpointed_.counter);
  // What came before the first checkpoint is the start. Before a later one there was another, which may have been removed.
  const bool first = checkpointed_.counter <= static_cast<uint64_t>(settings_->job.run.checkpoint_every);
  if (!learned && !search.found.found && !first) {
    throw error(errc::not_finite,
                "{}. The last checkpoint has these weights already, and run.keep-checkpoints = {} has left none before "
                "it to roll back to: a new run has to learn more slowly, or keep at least 2",
                reason, settings_->job.run.keep_checkpoints);
  }
  co_return search;
}

/// The redone iteration must not overwrite the experience that shows how the first went wrong: it gets a name that nothing
/// else reads or removes. Answers with the reason, naming that file; as it was where nothing was kept.
std::string director_state::set_aside(std::string reason, uint64_t iteration, int64_t rollback) const {
  const std::filesystem::path kept = settings_->run.experience(static_cast<int64_t>(iteration));
  if (!std::filesystem::exists(kept)) {
    return reason;
  }
  const std::string stem = kept.stem().string();
  const std::string aside = fmt::format("{}.diverged-{}.h5", stem, rollback);
  const io::attempt_fence behind = fence();
  behind.commit(behind.take(kept), kept.parent_path() / aside);
  const std::string named = stem + ".h5";
  if (const size_t at = reason.find(named); at != std::string::npos) {
    return reason.replace(at, named.size(), aside);
  }
  return fmt::format("{}; the experience is kept in experience/{}", reason, aside);
}

/// What iterations beyond the counter left behind: they are done again.
void director_state::drop_later_experience() const {
  for (const auto& folder : {settings_->run.experience(), settings_->run.root() / "evaluations"}) {
    io::remove_experience_after(folder, static_cast<int64_t>(state_.counter), fence());
  }
}

task<> director_state::roll_back(std::string reason, uint64_t iteration) {
  const io::ppo_section& ppo = settings_->job.ppo;
  const double rollbacks = statistic(state_.values, rollbacks_key) + 1;
  if (rollbacks > static_cast<double>(ppo.max_rollbacks)) {
    throw error(errc::not_finite, "{} (after {} rollbacks: ppo.max-rollbacks)", reason, ppo.max_rollbacks);
  }
  co_await await_durable();
  checkpoint_search to = co_await find_sound_checkpoint(reason);
  reason = set_aside(std::move(reason), iteration, static_cast<int64_t>(rollbacks));
  spdlog::warn("rolling back to {}: {}", to.found.found ? to.found.path : "the start", reason);
  note("note", state_.phase, state_.counter, "rolled back: " + reason);
  // A new cast: there may be no checkpoint yet, so that the models must be those of the start again; and what is left
  // of the rollout that diverged must not reach the next.
  co_await set_stage("ppo");
  co_await restore_from("ppo", std::move(to));
  co_await begin_ppo();
  state_.values[rollbacks_key] = rollbacks;  // halves the learning rates, or it would end in the same place
}

task<> director_state::begin_ppo() {
  drop_later_experience();
  if (state_.counter > 0) {
    co_return;
  }
  state_.values[kl_coefficient_key] = settings_->job.ppo.kl_coef;
  metrics_record before;
  before.counts_iterations = true;
  try {
    before.values = co_await evaluate_policy(0);
    co_await record(std::move(before));
  } catch (const stop_requested&) {  // nothing has been learned yet: it is done again
  }
}

task<> director_state::ppo() {
  const io::ppo_section& ppo = settings_->job.ppo;
  co_await restore("ppo");
  const auto total = static_cast<uint64_t>(ppo.iterations);
  co_await begin_ppo();
  while (state_.counter < total && !stopping_) {
    std::string diverged;
    const uint64_t iteration = state_.counter + 1;
    try {
      metrics_record line;
      line.values = co_await iterate(iteration, line);
      ++state_.counter;
      line.iteration = state_.counter;
      line.update = updates_done();
      line.counts_iterations = true;
      const auto every = static_cast<uint64_t>(ppo.evaluate_every);
      if (state_.counter == total || (every > 0 && state_.counter % every == 0)) {
        const statistics evaluation = co_await evaluate_policy(state_.counter);
        merge(line.values, evaluation);
      }
      show("", state_.counter, total, "iterations",
           fmt::format("reward {:.3f}, KL {:.3f} nats/sequence, length {:.0f}",
                       statistic(line.values, "reward/raw_mean"), statistic(line.values, "kl/per_sequence_nats"),
                       statistic(line.values, "answer/length_mean")));
      co_await close(std::move(line), state_.counter == total);
      drop_old_experience();
    } catch (const stop_requested&) {
      break;  // in the middle of a rollout: it is done again, to the same tokens
    } catch (const error& failure) {
      if (failure.code() != errc::not_finite || ppo.on_divergence != io::on_divergence::rollback) {
        throw;
      }
      diverged = failure.what();
    }
    if (!diverged.empty()) {
      evaluating_ = false;
      co_await roll_back(std::move(diverged), iteration);
    }
  }
  co_await checkpoint_if_due(true);
  co_await await_durable();
  if (state_.counter == total) {
    co_await save_models();
  }
}

void director_state::drop_old_experience() {
  const auto keep = static_cast<uint64_t>(settings_->job.experience.keep);
  if (keep > 0 && state_.counter > keep) {
    const auto old = settings_->run.experience(static_cast<int64_t>(state_.counter - keep));
    if (std::filesystem::exists(old)) {
      fence().remove(old);
    }
  }
}

}  // namespace troupe::actors
