#include "actors/director/replay_plan.hpp"

#include "actors/director/assembly.hpp"
#include "actors/director/best.hpp"
#include "actors/director/lesson.hpp"
#include "actors/director/ppo_state.hpp"
#include "actors/director/recall.hpp"
#include "actors/director/replies.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

namespace troupe::actors {

bool replay_plan::is_start() const {
  return on_.state().counter == static_cast<uint64_t>(on_.job().replay.from_iteration);
}

void replay_plan::settle() {
  phase_state& state = on_.state();
  if (state.counter == 0) {
    begin_ppo(state, on_.job().ppo.kl_coef);
    return;
  }
  forget_best(state);  // of the other run's checkpoints
  adopt_options(state, source_.job(), on_.job());
}

std::string replay_plan::file_of(uint64_t iteration) const {
  return source_.run().experience(static_cast<int64_t>(iteration)).string();
}

uint64_t replay_plan::next_after(uint64_t done) const {
  uint64_t next = done + 1;
  if (on_.job().replay.allows(io::replay_leniency::iterations)) {
    while (next < total_ && !std::filesystem::exists(file_of(next))) {
      ++next;
    }
  }
  return next;
}

recall_command replay_plan::stored(uint64_t iteration) const {
  const bool exact = on_.job().replay.verify;
  const uint64_t next = next_after(iteration);
  return {.iteration = iteration,
          .policy_version = updates_done(on_.state()),
          .file = file_of(iteration),
          .next = next <= total_ ? file_of(next) : "",
          .exact = exact,
          .as_sampled = source_.job().run.exact && (exact || is_as_sampled(iteration))};
}

bool replay_plan::is_as_sampled(uint64_t iteration) const {
  const io::replay_section& replay = on_.job().replay;
  return iteration == static_cast<uint64_t>(replay.from_iteration) + 1 && !replay.allows(io::replay_leniency::policy);
}

void replay_plan::require_near(const statistics& of, uint64_t iteration) const {
  const io::replay_section& replay = on_.job().replay;
  const double ess = statistic(of, "replay/ess_share");
  const double kl_nats = statistic(of, "replay/behaviour_kl_nats");
  if (replay.min_ess > 0 && ess < replay.min_ess) {
    throw error(errc::bad_argument,
                "iteration {}: the policy is too far from the one that sampled: the effective sample size is {:.3f} of "
                "the answers' tokens, below replay.min-ess = {}. Replay fewer iterations, learn more slowly, or sample "
                "anew",
                iteration, ess, replay.min_ess);
  }
  if (replay.max_kl > 0 && kl_nats > replay.max_kl) {
    throw error(errc::bad_argument,
                "iteration {}: the policy is too far from the one that sampled: the KL from it is {:.4f} nats per "
                "token, above replay.max-kl = {}. Replay fewer iterations, learn more slowly, or sample anew",
                iteration, kl_nats, replay.max_kl);
  }
}

task<> replay_plan::iterate() {
  phase_state& state = on_.state();
  const uint64_t iteration = next_after(state.counter);
  const recall_command command = stored(iteration);
  metrics_record line;
  line.counts_iterations = true;
  line.origin = {{"replay/run", source_.run().root().string()},
                 {"replay/start", source_.start_name(on_.job().replay.from_iteration)},
                 {"replay/file", std::filesystem::relative(command.file, source_.run().root()).string()}};
  line.values = co_await recall(on_, command);
  const statistics mixed = co_await mix_in(on_, source_.run(), iteration);
  merge(line.values, mixed);
  const statistics scored = co_await score_by_policy(on_);
  merge(line.values, scored);
  std::string nowhere;
  assemble_reply assembled = co_await assemble(on_, iteration, assembled_for::training, std::move(nowhere));
  if (!command.exact) {
    require_near(assembled.statistics, iteration);
  }
  co_await learn_lesson(on_, iteration, std::move(assembled), line);
  state.counter = iteration;
  line.iteration = iteration;
  line.update = updates_done(state);
  on_.show("", total_, "iterations",
           fmt::format("{}, KL {:.3f} nats/sequence, update's KL {:.4f} nats/token", shown_reward(line.values),
                       statistic(line.values, "kl/per_sequence_nats"),
                       statistic(line.values, "policy/approx_kl_nats")));
  co_await checkpoints_.close(std::move(line), state.counter == total_);
}

task<> replay_plan::perform() {
  const int64_t from = on_.job().replay.from_iteration;
  // Named: GCC 12 destroys what is made within a co_await twice.
  std::string origin;
  if (from > 0) {
    origin = source_.checkpoint(from).string();
  }
  co_await checkpoints_.begin_replay(total_, std::move(origin));
  if (is_start()) {
    settle();
  }
  while (on_.state().counter < total_ && !on_.stopping()) {
    co_await iterate();
  }
  co_await checkpoints_.end_phase();
}

}  // namespace troupe::actors
