#include "actors/director/rollback.hpp"

#include "actors/director/kept_experience.hpp"
#include "actors/director/ppo_state.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace troupe::actors {

/// If nothing has been learned since the last checkpoint, that one's own weights diverge, and it would end in the
/// same place whatever the learning rates: then it is the one before.
static task<checkpoint_search> find_sound_checkpoint(director_context& on, checkpointing& checkpoints,
                                                     std::string reason) {
  const phase_state last = checkpoints.last();
  const bool learned = updates_done(on.state()) != updates_done(last);
  if (!learned && last.counter == 0) {
    throw error(errc::not_finite, "{}. Nothing has been learned yet: no rollback leads anywhere else", reason);
  }
  checkpoint_search search = co_await checkpoints.find(learned ? any_counter : last.counter);
  // What came before the first checkpoint is the start. Before a later one there was another, which may have been
  // removed.
  const bool first = last.counter <= static_cast<uint64_t>(on.job().run.checkpoint_every);
  if (!learned && !search.found.found && !first) {
    throw error(errc::not_finite,
                "{}. The last checkpoint has these weights already, and run.keep-checkpoints = {} has left none before "
                "it to roll back to: a new run has to learn more slowly, or keep at least 2",
                reason, on.job().run.keep_checkpoints);
  }
  co_return search;
}

task<> roll_back(director_context& on, checkpointing& checkpoints, std::string reason, uint64_t iteration) {
  const int64_t most = on.job().ppo.max_rollbacks;
  const double number = rollbacks(on.state()) + 1;
  if (number > static_cast<double>(most)) {
    throw error(errc::not_finite, "{} (after {} rollbacks: ppo.max-rollbacks)", reason, most);
  }
  co_await checkpoints.await_durable();
  checkpoint_search to = co_await find_sound_checkpoint(on, checkpoints, reason);
  reason = set_aside(on.run(), iteration, static_cast<int64_t>(number), std::move(reason), on.fence());
  spdlog::warn("rolling back to {}: {}", to.found.found ? to.found.path : "the start", reason);
  on.note(io::ledger_kind::note, on.state().counter, "rolled back: " + reason);
  // A new cast: there may be no checkpoint yet, so that the models must be those of the start again; and what is left
  // of the rollout that diverged must not reach the next.
  co_await on.set_stage(on.state().phase);
  co_await checkpoints.restore(std::move(to));
  set_rollbacks(on.state(), number);
}

}  // namespace troupe::actors
