/// The models that learn by PPO, with what they need beside them: policy, critic, the policy's average, text for
/// mixture training. The ppo phase and its replay have them in common.
#pragma once

#include "actors/stage/cast_builder.hpp"
#include "actors/stage/seating.hpp"
#include "engine/optim/average.hpp"
#include "io/datasets/examples.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace troupe::actors {

class ppo_learners {
public:
  /// Loads the models. Collective. Those that are on other ranks are null here.
  ppo_learners(cast_builder& build, const seating& at);

  const trained_model_ptr& policy() const { return policy_; }
  const trained_model_ptr& critic() const { return critic_; }
  const std::shared_ptr<const io::tokenizer>& tokens() const { return tokens_; }

  /// Reads the text that is mixed into updates, where there is any to be and the policy is here.
  void load_mixture();

  /// Of the weights of policy and critic as the phase starts, by name; on every rank. Collective among all.
  std::map<std::string, std::string> digests() const;

  /// Adds what the phase's checkpoints and saved models have of these.
  void add_to(checkpointer_settings& keeps) const;

  /// Spawns the critic and its optimizer, where it is here.
  void spawn_critic(cast& parts, const caf::actor& replay) const;

  /// Spawns what asks the policy about stored answers, where it is here.
  void spawn_policy_scorer(cast& parts, const caf::actor& replay) const;

  /// What is mixed in, where the job says so. `stored`: what the files must be.
  std::optional<mixing_rules> mixing(expected_experience stored) const;

  /// Spawns the policy, its optimizer, its average, and the loader that serves it. `rollout`: how it generates; none:
  /// it does not. `phase`: whose the data are.
  void spawn_policy(cast& parts, io::phase phase, std::optional<rollout_settings> rollout, io::phase_data data);

private:
  cast_builder& build_;
  const seating& at_;
  trained_model_ptr policy_, critic_;
  std::shared_ptr<engine::weight_average> average_;
  std::shared_ptr<const io::tokenizer> tokens_;
  std::optional<io::phase_data> mixture_;
};

}  // namespace troupe::actors
