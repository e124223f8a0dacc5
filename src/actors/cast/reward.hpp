/// The reward: judges finished answers by the job's reward sources (judging.hpp); and, in the reward phase, is the
/// model that learns from preference pairs.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/judging.hpp"
#include "actors/cast/pending_batches.hpp"
#include "actors/cast/scoring.hpp"
#include "actors/cast/trainer.hpp"
#include "actors/models/trained_model.hpp"
#include "actors/protocol/interfaces.hpp"
#include "engine/objectives/pairwise.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <caf/all.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe::actors {

struct reward_settings {
  device_ptr on;

  std::vector<std::string> source_names;  ///< data sets

  // Where it judges (ppo, pairs):
  std::vector<reward_judge> judges;
  std::shared_ptr<const io::tokenizer> tokens;  ///< of the policy
  int64_t micro_batch_tokens = 2048;            ///< of sequences that are judged
  caf::actor replay;

  // Where it learns (reward phase):
  trained_model_ptr trained;  ///< null elsewhere
  bool activation_checkpointing = false;
  engine::pair_settings loss;
};

class reward_state {
public:
  static inline const char* name = "reward";

  void open(reward_settings settings);

  // The handlers of reward_actor (interfaces.hpp).
  void keep(const batch_handle& batch) { pairs_.add(batch); }
  void keep(const sequence_handle& sequence) { scorer_->add(sequence); }
  score_reply score();
  train_reply train(const train_command& command);
  train_reply evaluate(const train_command& command);

private:
  reward_settings settings_;
  std::optional<sequence_scorer> scorer_;
  std::optional<trainer> trainer_;
  pending_batches<batch_handle> pairs_{"the reward model"};
};

/// Spawn it detached: its handlers block while they work.
reward_actor::behavior_type reward(reward_actor::stateful_pointer<reward_state> self, reward_settings settings);

}  // namespace troupe::actors
