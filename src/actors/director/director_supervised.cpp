// The plan of supervised fine-tuning and of the reward model: batches, gradients, steps.
#include "actors/cast/loader.hpp"
#include "actors/cast/optimizer.hpp"
#include "actors/cast/policy.hpp"
#include "actors/director/director_plans.hpp"
#include "actors/models/plan_options.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::actors {

int64_t director_state::updates_of(const io::training_options& training) const {
  if (training.updates > 0) {
    return training.updates;
  }
  const double examples = training.epochs * static_cast<double>(company_.front().epoch_size);
  return std::max<int64_t>(1, std::llround(std::floor(examples / static_cast<double>(training.batch))));
}

task<statistics> director_state::evaluate_held_out(caf::strong_actor_ptr cast::*trainee) {
  const auto models = everyone<supervised_actor>(trainee);
  const serve_reply served = co_await serve(serving::held_out, 0);
  if (served.sequences == 0) {
    co_return statistics{};
  }
  const train_command command{.batch_id = served.batch_id};
  const std::vector<train_reply> replies = co_await ask_everyone<train_reply>(self_, models, evaluate_atom_v, command);
  co_return replies.front().statistics;
}

static std::string summary_of(const statistics& values) {
  std::string text;
  for (const char* name :
       {"policy/loss", "reward/loss", "reward/accuracy", "held_out/perplexity", "held_out/accuracy"}) {
    if (const auto found = values.find(name); found != values.end()) {
      text += fmt::format("{}{} {:.4f}", text.empty() ? "" : ", ", name, found->second);
    }
  }
  return text;
}

task<> director_state::supervised(supervised_plan plan) {
  co_await restore(plan.phase);
  const auto trainees = everyone<trainee_actor>(plan.trainee);
  const auto optimizers = everyone<optimizer_actor>(plan.optimizer);
  const auto total = static_cast<uint64_t>(updates_of(plan.training));
  const engine::schedule_settings schedule = schedule_of(plan.training.optimizer, static_cast<int64_t>(total));
  const std::string model = plan.phase == "sft" ? "policy" : "reward";

  if (state_.counter == 0) {
    metrics_record before;
    before.values = co_await evaluate_held_out(plan.trainee);
    show("", 0, total, "updates", summary_of(before.values));
    co_await record(std::move(before));
  }
  while (state_.counter < total && !stopping_) {
    const serve_reply served = co_await serve(serving::training, state_.counter);
    const train_command command{.batch_id = served.batch_id, .loss_terms = served.loss_terms};
    const train_reply learned = together(co_await ask_everyone<train_reply>(self_, trainees, train_atom_v, command));
    const step_command step{state_.counter + 1, engine::learning_rate(schedule, static_cast<int64_t>(state_.counter))};
    const step_reply stepped = together(co_await ask_everyone<step_reply>(self_, optimizers, step_atom_v, step));
    ++state_.counter;

    metrics_record line;
    line.update = state_.counter;
    line.values = learned.statistics;
    line.values[model + "/grad_norm"] = stepped.gradient_norm;
    line.values[model + "/learning_rate"] = step.learning_rate;
    line.values["time/train_s"] = learned.seconds;
    line.values["time/step_s"] = stepped.seconds;
    add_communication(line.values, model, stepped);
    line.values["rate/train_tokens_per_s"] =
        per_second(static_cast<double>(served.tokens), learned.seconds + stepped.seconds);
    const auto every = static_cast<uint64_t>(plan.training.evaluate_every);
    if (state_.counter == total || (every > 0 && state_.counter % every == 0)) {
      const statistics held_out = co_await evaluate_held_out(plan.trainee);
      merge(line.values, held_out);
    }
    show("", state_.counter, total, "updates", summary_of(line.values));
    co_await close(std::move(line), state_.counter == total);
  }
  co_await checkpoint_if_due(true);
  co_await await_durable();
  if (state_.counter == total) {
    co_await save_models();
  }
}

}  // namespace troupe::actors
