/// The policy: the language model that is trained. It generates, learns from demonstrations (SFT), from experience
/// (PPO) and from text mixed in, all with one copy of its weights.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/pending_batches.hpp"
#include "actors/cast/rollout_generation.hpp"
#include "actors/cast/trainer.hpp"
#include "actors/models/trained_model.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/rank_data.hpp"
#include "io/job/job.hpp"

#include <caf/all.hpp>

#include <optional>

namespace troupe::actors {

/// How the policy learns from experience (ppo phase).
struct experience_learning {
  io::ppo_section ppo;
  float temperature = 1.0F;  ///< of the rollouts
  bool exact = true;         ///< log-probabilities of sampling and of training must be equal to the last bit
};

struct policy_settings {
  device_ptr on;
  trained_model_ptr trained;  ///< its learner is null where the phase does not train the policy
  bool activation_checkpointing = false;
  experience_learning learning;
  std::optional<rollout_settings> rollout;  ///< none where nothing is rolled out
};

class policy_state {
public:
  static inline const char* name = "policy";

  void open(policy_settings settings);

  // The handlers of policy_actor (interfaces.hpp).
  void keep(const batch_handle& batch) { examples_.add(batch); }
  void keep(const minibatch_handle& batch) { experience_.add(batch); }
  generate_reply generate(const generate_command& command);
  /// By the kind of the batch that the command names: text, or experience.
  train_reply train(const train_command& command);
  train_reply evaluate(const train_command& command);

private:
  train_reply learn_text(const train_command& command);
  train_reply learn_experience(const train_command& command);
  /// The text that is mixed into an update; without any where the command names none.
  batch_handle take_mixture(const train_command& command);
  void require_exact(const engine::policy_statistics& sums) const;

  policy_settings settings_;
  std::optional<trainer> trainer_;
  std::optional<rollout_generation> rollout_;
  pending_batches<batch_handle> examples_{"the policy"};
  pending_batches<minibatch_handle> experience_{"the policy"};
};

/// Spawn it detached: its handlers block while they work.
policy_actor::behavior_type policy(policy_actor::stateful_pointer<policy_state> self, policy_settings settings);

}  // namespace troupe::actors
