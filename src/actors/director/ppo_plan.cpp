#include "actors/director/ppo_plan.hpp"

#include "actors/director/assembly.hpp"
#include "actors/director/evaluation.hpp"
#include "actors/director/kept_experience.hpp"
#include "actors/director/lesson.hpp"
#include "actors/director/ppo_state.hpp"
#include "actors/director/recall.hpp"
#include "actors/director/replies.hpp"
#include "actors/director/rollback.hpp"
#include "actors/director/rollout.hpp"
#include "io/experience/sampled_parts.hpp"

#include <fmt/format.h>

#include <utility>

namespace troupe::actors {

task<> ppo_plan::begin() {
  drop_later_experience(on_.run(), on_.state().counter, on_.fence());
  if (on_.state().counter > 0) {
    co_return;
  }
  begin_ppo(on_.state(), on_.job().ppo.kl_coef);
  metrics_record before;
  before.counts_iterations = true;
  try {
    before.values = co_await evaluate_policy(on_, 0);
    co_await on_.record(std::move(before));
  } catch (const stop_requested&) {  // nothing has been learned yet: it is done again
  }
}

task<> ppo_plan::roll_out_and_learn(uint64_t iteration, metrics_record& line) {
  line.values = co_await roll_out(on_, serving::prompts, iteration - 1);
  const statistics mixed = co_await mix_in(on_, on_.run(), iteration);
  merge(line.values, mixed);
  const statistics scored = co_await score_by_policy(on_);
  merge(line.values, scored);
  std::string file = fmt::format("experience/iteration-{:06}.h5", iteration);
  assemble_reply assembled = co_await assemble(on_, iteration, assembled_for::training, std::move(file));
  on_.doubt(doubts_of_iteration(on_.job(), assembled.statistics, assembled.sequences));
  co_await learn_lesson(on_, iteration, std::move(assembled), line);
}

task<> ppo_plan::iterate() {
  phase_state& state = on_.state();
  metrics_record line;
  line.counts_iterations = true;
  co_await roll_out_and_learn(state.counter + 1, line);
  line.iteration = ++state.counter;
  line.update = updates_done(state);
  const auto every = static_cast<uint64_t>(on_.job().ppo.evaluate_every);
  if (state.counter == total_ || (every > 0 && state.counter % every == 0)) {
    const statistics evaluation = co_await evaluate_policy(on_, state.counter);
    merge(line.values, evaluation);
  }
  on_.show("", total_, "iterations",
           fmt::format("{}, KL {:.3f} nats/sequence, length {:.0f}", shown_reward(line.values),
                       statistic(line.values, "kl/per_sequence_nats"), statistic(line.values, "answer/length_mean")));
  const uint64_t before = checkpoints_.last().counter;
  co_await checkpoints_.close(std::move(line), state.counter == total_);
  if (checkpoints_.last().counter != before) {  // which the one before has been written for: it is durable
    io::remove_sampled_parts(on_.run(), before, on_.fence());
  }
  drop_old_experience(on_.run(), state.counter, on_.job().experience, on_.fence());
}

task<> ppo_plan::perform() {
  const evaluation_measure measure{.metric = "evaluation/reward/raw_mean", .lower_is_better = false};
  co_await checkpoints_.begin_phase(total_, measure);
  co_await begin();
  bool dropped = false;
  while (on_.state().counter < total_ && !on_.stopping() && !dropped) {
    std::string diverged;
    const uint64_t iteration = on_.state().counter + 1;
    try {
      co_await iterate();
    } catch (const stop_requested&) {
      dropped = true;  // in the middle of a rollout: it is done again, to the same tokens
    } catch (const error& failure) {
      if (failure.code() != errc::not_finite || on_.job().ppo.on_divergence != io::on_divergence::rollback) {
        throw;
      }
      diverged = failure.what();
    }
    if (!diverged.empty()) {
      co_await roll_back(on_, checkpoints_, std::move(diverged), iteration);
      co_await begin();
    }
  }
  co_await checkpoints_.end_phase();
  io::remove_sampled_parts(on_.run(), checkpoints_.last().counter, on_.fence());
}

}  // namespace troupe::actors
