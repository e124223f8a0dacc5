/// The stage of a rank: loads the models that a phase needs, spawns its cast, and clears both away for the next.
#pragma once

#include "actors/cast/checkpointer.hpp"
#include "actors/cast/device.hpp"
#include "actors/cast/replay.hpp"
#include "actors/cast/reward.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/stage/seating.hpp"
#include "engine/parallel/communicator.hpp"
#include "io/datasets/examples.hpp"
#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"
#include "io/run/starting_folders.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <caf/all.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

struct stage_settings {
  io::job job;
  io::run_directory run;
  uint64_t attempt = 0;
  device_ptr on;
  std::function<std::unique_ptr<engine::world>()> join;  ///< makes this process one of the job's ranks
};

class stage_state {
public:
  static inline const char* name = "stage";

  explicit stage_state(stage_actor::stateful_pointer<stage_state> self) : self_(self) {}
  void open(stage_settings settings) { settings_.emplace(std::move(settings)); }
  cast set(const std::string& phase);
  void clear();
  void leave();

private:
  cast set_pairs();
  cast set_sft();
  cast set_reward();
  cast set_ppo();

  // The ppo phase: what its cast is made of, and the cast.
  struct ppo_material;
  ppo_material load_ppo() const;
  void load_learners(ppo_material& m) const;
  void load_scorers(ppo_material& m) const;
  /// That those which score the policy's sequences can read them.
  void require_fit(const ppo_material& m) const;
  std::map<std::string, std::string> digests_of(const ppo_material& m) const;
  caf::strong_actor_ptr spawn_checkpointer(const ppo_material& m);
  replay_actor spawn_replay(const ppo_material& m);
  void spawn_scorers(const ppo_material& m, const caf::actor& replay, cast& parts);
  void spawn_policy(ppo_material& m, const caf::actor& replay, cast& parts);

  io::starting_folders starts() const { return io::starting_folders_of(settings_->job, &settings_->run); }

  /// Among how many a batch's micro-batches are dealt: a batch is formed alike on all ranks.
  int64_t shares() const;

  // Communicators. All ranks open all of them, in the same order; those of a model are null where it is not.
  seat all_ranks() const;
  engine::communicator_ptr open(const std::string& name, const seat& of) const;
  /// Of the ranks that share a model's weights in ZeRO stage 3; null in others.
  engine::communicator_ptr open_weights(const std::string& name, int64_t zero, const seat& of) const;
  /// Of the policy's ranks that generate with this one; null: none.
  engine::communicator_ptr open_columns(const seat& policy) const;

  model_ptr load_policy(const std::filesystem::path& folder, engine::communicator_ptr shared) const;
  /// `zero`: its ZeRO stage; `gradients`: of the model's ranks.
  trained_model_ptr with_learner(model_ptr of, const io::optimizer_options& options, int64_t zero,
                                 engine::communicator_ptr gradients) const;
  /// `m`: the model that is to read them; null: none here.
  std::shared_ptr<const io::tokenizer> load_tokens(const std::filesystem::path& folder, const model* m) const;
  io::phase_data load_data(io::phase phase, std::shared_ptr<const io::tokenizer> tokens) const;
  /// Collective; none where the reward is not.
  std::vector<reward_judge> load_judges(const std::vector<io::reward_source>& sources, const seat& of) const;
  reward_judge load_judge(const io::reward_source& source, engine::communicator_ptr shared) const;
  void describe(const io::phase_data& data, cast& parts) const;
  std::map<std::string, std::string> digests(const io::phase_data& data) const;
  /// What the checkpointers of all phases have in common: `models`, `average` and `saved` are still empty. Collective.
  checkpointer_settings checkpointing(io::phase phase, const std::string& unit, const io::phase_data& data) const;
  caf::strong_actor_ptr spawn_loader(io::phase phase, io::phase_data data, const caf::actor& trainee,
                                     std::optional<io::phase_data> mixture = std::nullopt);

  template <class Handle, class... Arguments> Handle spawn(Arguments&&... arguments);

  stage_actor::stateful_pointer<stage_state> self_;
  std::optional<stage_settings> settings_;
  std::vector<caf::strong_actor_ptr> spawned_;
  std::unique_ptr<engine::world> ranks_;  ///< joined when the first phase is set
  engine::communicator_ptr work_;         ///< for what ranks tell each other besides gradients
};

stage_actor::behavior_type stage(stage_actor::stateful_pointer<stage_state> self, stage_settings settings);

}  // namespace troupe::actors
