/// How a phase's cast is put together: what the casts of all phases have in common. Each phase has a function of its
/// own (casts.hpp), which loads what the phase needs and spawns its actors with this.
#pragma once

#include "actors/cast/checkpointer.hpp"
#include "actors/cast/loader.hpp"
#include "actors/cast/optimizer.hpp"
#include "actors/cast/replay.hpp"
#include "actors/cast/rollout_generation.hpp"
#include "actors/protocol/error_replies.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/stage/phase_loading.hpp"
#include "actors/stage/rank_groups.hpp"
#include "actors/stage/stage_settings.hpp"

#include <caf/all.hpp>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {

inline caf::strong_actor_ptr pointer(const auto& handle) { return caf::actor_cast<caf::strong_actor_ptr>(handle); }
inline caf::actor untyped(const auto& handle) { return caf::actor_cast<caf::actor>(handle); }

/// The actors that a stage has spawned, to be ended before the next phase.
class spawned_actors {
public:
  /// `owner` monitors each, and hears by a down message that one has ended, and why.
  explicit spawned_actors(caf::local_actor& owner) : owner_(owner) {}

  /// Models compute in handlers that block for long, so every actor of the cast has a thread of its own.
  template <class Handle, class Behavior, class Pointer, class Settings>
  Handle spawn(Behavior (*function)(Pointer, Settings), Settings settings) {
    const auto telling_why = [function](Pointer self, Settings given) -> Behavior {
      die_telling_why(self);
      return function(self, std::move(given));
    };
    auto handle = owner_.system().spawn<caf::detached>(telling_why, std::move(settings));
    owner_.monitor(handle);
    spawned_.push_back(pointer(handle));
    alive_.insert(handle.address());
    return handle;
  }

  void end_all();

  /// The owner has heard of an end.
  void note_end(const caf::actor_addr& ended) { alive_.erase(ended); }
  bool all_have_ended() const { return alive_.empty(); }

private:
  caf::local_actor& owner_;
  std::vector<caf::strong_actor_ptr> spawned_;  ///< of this phase
  std::set<caf::actor_addr> alive_;             ///< of this phase, and of earlier ones that are still ending
};

class cast_builder {
public:
  /// All outlive it. `work`: of all ranks, for what they tell each other besides gradients.
  cast_builder(const stage_settings& settings, const rank_groups& ranks, engine::communicator_ptr work,
               spawned_actors& actors)
      : settings_(settings), ranks_(ranks), work_(std::move(work)), actors_(actors), load_(settings, ranks) {}

  const io::job& job() const { return settings_.job; }
  const device_ptr& on() const { return settings_.on; }
  const rank_groups& ranks() const { return ranks_; }
  const engine::communicator_ptr& work() const { return work_; }
  const phase_loading& load() const { return load_; }

  template <class Handle, class Behavior, class Pointer, class Settings>
  Handle spawn(Behavior (*function)(Pointer, Settings), Settings settings) {
    return actors_.spawn<Handle>(function, std::move(settings));
  }

  /// A cast without actors, that says what the phase's data are.
  cast with_data(const io::phase_data& data) const;

  /// `mixture`: text for mixture training.
  caf::strong_actor_ptr spawn_loader(io::phase phase, io::phase_data data, const caf::actor& trainee,
                                     std::optional<io::phase_data> mixture = std::nullopt);
  caf::strong_actor_ptr spawn_optimizer(role as, const trained_model_ptr& trained);

  /// What the checkpointers of all phases have in common: `models`, `average` and `saved` are still empty. Collective.
  checkpointer_settings checkpointing(io::phase phase, const std::string& unit, const io::phase_data& data) const;

  /// What the replays of all phases have in common: `scorers` and `reward_sources` are still empty, and `origin` names
  /// neither data nor models.
  replay_settings replaying(io::phase phase, std::shared_ptr<const io::tokenizer> tokens) const;

  /// The neighbours that generate together with this rank, for arrays that lie where it computes; null: it generates
  /// alone. Collective.
  engine::communicator_ptr open_generation(const seat& policy) const;
  /// How the policy generates on its ranks.
  rollout_settings rolling_out(io::phase phase, const model_ptr& of, std::shared_ptr<const io::tokenizer> tokens,
                               const seat& at, engine::communicator_ptr columns, const caf::actor& replay) const;

  /// Of the rollouts that ranks with this seat take part in.
  journal_settings journal(io::phase phase, const seat& at) const;

  /// Of the options that the phase goes by.
  std::string job_digest(io::phase phase) const;
  /// Of all weights. Collective among the ranks that share them.
  std::string digest_of(model& m) const;
  /// The same, told to all ranks by the first of those that have the model; null: it is on others. Collective among
  /// all.
  std::string digest_on_all(const model_ptr& of, const seat& at) const;

private:
  /// Among how many a batch's micro-batches are dealt: a batch is formed alike on all ranks, as the learner has its
  /// lanes.
  int64_t shares() const;
  loader_data drawn_from(io::phase_data data) const;

  const stage_settings& settings_;
  const rank_groups& ranks_;
  engine::communicator_ptr work_;
  spawned_actors& actors_;
  phase_loading load_;
};

}  // namespace troupe::actors
