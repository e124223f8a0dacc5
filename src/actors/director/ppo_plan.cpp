#include "actors/director/ppo_plan.hpp"

#include "actors/director/assembly.hpp"
#include "actors/director/evaluation.hpp"
#include "actors/director/kept_experience.hpp"
#include "actors/director/learning.hpp"
#include "actors/director/ppo_state.hpp"
#include "actors/director/replies.hpp"
#include "actors/director/rollback.hpp"
#include "actors/director/rollout.hpp"
#include "actors/models/plan_options.hpp"
#include "base/stopwatch.hpp"

#include <fmt/format.h>

#include <utility>

namespace troupe::actors {

task<> ppo_plan::begin() {
  drop_later_experience(on_.run(), on_.state().counter, on_.fence());
  if (on_.state().counter > 0) {
    co_return;
  }
  set_kl_coefficient(on_.state(), on_.job().ppo.kl_coef);
  begin_policy_updates(on_.state());
  metrics_record before;
  before.counts_iterations = true;
  try {
    before.values = co_await evaluate_policy(on_, 0);
    co_await on_.record(std::move(before));
  } catch (const stop_requested&) {  // nothing has been learned yet: it is done again
  }
}

void ppo_plan::require_near(double kl_nats, uint64_t iteration) const {
  const double most = on_.job().ppo.max_kl;
  if (most > 0 && kl_nats > most) {
    throw error(errc::not_finite,
                "the KL from the reference is {:.3f} nats per sequence, above ppo.max-kl = {}; the experience is kept "
                "in experience/iteration-{:06}.h5. Lower ppo.policy-learning-rate or raise ppo.kl-coef",
                kl_nats, most, iteration);
  }
}

void ppo_plan::control_kl(double kl_nats, int64_t sequences) {
  engine::kl_controller_state controller{.coefficient = kl_coefficient(on_.state())};
  engine::update_kl_controller(kl_controller_of(on_.job().ppo), controller, kl_nats, sequences);
  set_kl_coefficient(on_.state(), controller.coefficient);
}

task<> ppo_plan::roll_out_and_learn(uint64_t iteration, metrics_record& line) {
  line.values = co_await roll_out(on_, serving::prompts, iteration - 1);
  std::string file = fmt::format("experience/iteration-{:06}.h5", iteration);
  assemble_reply assembled = co_await assemble(on_, iteration, assembled_for::training, std::move(file));
  merge(line.values, assembled.statistics);
  line.values["kl/coefficient"] = kl_coefficient(on_.state());
  if (iteration % static_cast<uint64_t>(on_.job().ppo.log_rollouts_every) == 0 || iteration == 1) {
    line.rollouts = std::move(assembled.rollouts);
  }
  const double kl_nats = statistic(line.values, "kl/per_sequence_nats");
  require_near(kl_nats, iteration);
  const stopwatch watch;
  const statistics learned = co_await learn(on_, iteration);
  merge(line.values, learned);
  line.values["time/learn_s"] = watch.seconds();
  control_kl(kl_nats, assembled.sequences);
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
           fmt::format("reward {:.3f}, KL {:.3f} nats/sequence, length {:.0f}",
                       statistic(line.values, "reward/raw_mean"), statistic(line.values, "kl/per_sequence_nats"),
                       statistic(line.values, "answer/length_mean")));
  co_await checkpoints_.close(std::move(line), state.counter == total_);
  drop_old_experience(on_.run(), state.counter, on_.job().experience.keep, on_.fence());
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
}

}  // namespace troupe::actors
