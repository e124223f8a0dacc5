#include "actors/director/supervised_plan.hpp"

#include "actors/director/evaluation.hpp"
#include "actors/director/replies.hpp"
#include "actors/models/plan_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace troupe::actors {

supervised_lesson sft_lesson(const io::job& job) {
  return {.training = job.sft.training,
          .model = learning_policy,
          .measure = {.metric = "held_out/perplexity", .lower_is_better = true}};
}

supervised_lesson reward_lesson(const io::job& job) {
  return {.training = job.reward.training,
          .model = learning_reward,
          .measure = {.metric = "held_out/accuracy", .lower_is_better = false}};
}

int64_t updates_of(const io::training_options& training, int64_t epoch_size) {
  if (training.updates > 0) {
    return training.updates;
  }
  const double examples = training.epochs * static_cast<double>(epoch_size);
  return std::max<int64_t>(1, std::llround(std::floor(examples / static_cast<double>(training.batch))));
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

task<> supervised_plan::evaluate_start() {
  metrics_record before;
  before.values = co_await evaluate_held_out(on_, lesson_.model.trainee);
  on_.show("", total_, "updates", summary_of(before.values));
  co_await on_.record(std::move(before));
}

task<statistics> supervised_plan::update() {
  const uint64_t done = on_.state().counter;
  const engine::schedule_settings schedule = schedule_of(lesson_.training.optimizer, static_cast<int64_t>(total_));
  const serve_reply served = co_await on_.serve(serving::training, done);
  const train_command command{.batch_id = served.batch_id, .loss_terms = served.loss_terms};
  const train_reply learned = co_await compute_gradients(on_, lesson_.model, command);
  const step_command step{done + 1, engine::learning_rate(schedule, static_cast<int64_t>(done))};
  const step_reply stepped = co_await take_step(on_, lesson_.model, step);

  const std::string model = lesson_.model.name;
  statistics out = learned.statistics;
  out[model + "/grad_norm"] = stepped.gradient_norm;
  out[model + "/learning_rate"] = step.learning_rate;
  out["time/train_s"] = learned.seconds;
  out["time/step_s"] = stepped.seconds;
  add_communication(out, model, stepped);
  out["rate/train_tokens_per_s"] = per_second(static_cast<double>(served.tokens), learned.seconds + stepped.seconds);
  co_return out;
}

task<> supervised_plan::perform() {
  total_ = static_cast<uint64_t>(updates_of(lesson_.training, on_.company().epoch_size()));
  co_await checkpoints_.begin_phase(total_, lesson_.measure);
  phase_state& state = on_.state();
  if (state.counter == 0) {
    co_await evaluate_start();
  }
  const auto every = static_cast<uint64_t>(lesson_.training.evaluate_every);
  while (state.counter < total_ && !on_.stopping()) {
    metrics_record line;
    line.values = co_await update();
    line.update = ++state.counter;
    if (state.counter == total_ || (every > 0 && state.counter % every == 0)) {
      const statistics held_out = co_await evaluate_held_out(on_, lesson_.model.trainee);
      merge(line.values, held_out);
    }
    if (state.counter == total_) {
      on_.doubt(doubts_of_reward_model(line.values));
    }
    on_.show("", total_, "updates", summary_of(line.values));
    co_await checkpoints_.close(std::move(line), state.counter == total_);
  }
  co_await checkpoints_.end_phase();
}

}  // namespace troupe::actors
