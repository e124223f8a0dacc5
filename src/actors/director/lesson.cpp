#include "actors/director/lesson.hpp"

#include "actors/director/learning.hpp"
#include "actors/director/ppo_state.hpp"
#include "actors/director/replies.hpp"
#include "actors/models/plan_options.hpp"
#include "base/stopwatch.hpp"

#include <fmt/format.h>

#include <utility>

namespace troupe::actors {

/// Stored answers stay what they are, whatever the replay learns.
static std::string way_on(const director_context& on, uint64_t iteration) {
  if (on.state().phase == io::phase::replay) {
    return fmt::format(". These are stored answers, of iteration {}: raise ppo.max-kl, or replay fewer iterations",
                       iteration);
  }
  return fmt::format("; the experience is kept in experience/iteration-{:06}.h5. Lower ppo.policy-learning-rate or "
                     "raise ppo.kl-coef",
                     iteration);
}

static void require_near(const director_context& on, double kl_nats, uint64_t iteration) {
  const double most = on.job().ppo.max_kl;
  if (most > 0 && kl_nats > most) {
    throw error(errc::not_finite, "the KL from the reference is {:.3f} nats per sequence, above ppo.max-kl = {}{}",
                kl_nats, most, way_on(on, iteration));
  }
}

static void control_kl(director_context& on, double kl_nats, int64_t sequences) {
  engine::kl_controller_state controller{.coefficient = kl_coefficient(on.state())};
  engine::update_kl_controller(kl_controller_of(on.job().ppo), controller, kl_nats, sequences);
  set_kl_coefficient(on.state(), controller.coefficient);
}

task<> learn_lesson(director_context& on, uint64_t iteration, assemble_reply assembled, metrics_record& line) {
  merge(line.values, assembled.statistics);
  line.values["kl/coefficient"] = kl_coefficient(on.state());
  if (iteration % static_cast<uint64_t>(on.job().ppo.log_rollouts_every) == 0 || iteration == 1) {
    line.rollouts = std::move(assembled.rollouts);
  }
  const double kl_nats = statistic(line.values, "kl/per_sequence_nats");
  require_near(on, kl_nats, iteration);
  const stopwatch watch;
  const statistics learned = co_await learn(on, iteration);
  merge(line.values, learned);
  line.values["time/learn_s"] = watch.seconds();
  control_kl(on, kl_nats, assembled.sequences);
}

std::string shown_reward(const statistics& of) {
  const auto mean = of.find("reward/raw_mean");
  return mean != of.end() ? fmt::format("reward {:.3f}", mean->second) : "no reward";
}

}  // namespace troupe::actors
