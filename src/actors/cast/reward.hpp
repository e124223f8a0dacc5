/// The reward: judges finished answers by the job's reward sources (a trained model, rules, or several); and, in the
/// reward phase, is the model that learns from preference pairs.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/scoring.hpp"
#include "actors/cast/shelf.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/interfaces.hpp"
#include "engine/train/micro_batch.hpp"
#include "io/job/job.hpp"
#include "io/rewards/lexicon.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <caf/all.hpp>

#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {

/// One of the job's reward sources, ready to judge.
struct reward_judge {
  io::reward_source source;
  model_ptr of;       ///< kind model
  io::lexicon words;  ///< kind lexicon
};

struct reward_settings {
  io::job job;
  device_ptr on;
  std::shared_ptr<const io::tokenizer> tokens;
  std::vector<reward_judge> judges;       ///< ppo, pairs
  trained_model_ptr trained;              ///< reward phase
  std::vector<std::string> source_names;  ///< reward phase: data sets
  caf::actor replay;
};

class reward_state {
public:
  static inline const char* name = "reward";

  void open(reward_settings settings);
  void keep(const batch_handle& batch) { batches_.keep(batch); }
  void keep(const sequence_handle& sequence) { queue_.add(sequence); }
  score_reply score();
  train_reply train(const train_command& command);
  train_reply evaluate(const train_command& command);

private:
  std::vector<float> judge(const reward_judge& by, const engine::weights_view& weights,
                           std::span<const sequence_handle> sequences, const engine::packed_batch& batch);
  void send_verdicts(std::span<const std::vector<float>> by_judge, std::span<const sequence_handle> taken);

  reward_settings settings_;
  scoring_queue queue_;
  std::unique_ptr<engine::train_workspace> workspace_;
  shelf<batch_handle> batches_{"the reward model"};
};

reward_actor::behavior_type reward(reward_actor::stateful_pointer<reward_state> self, reward_settings settings);

}  // namespace troupe::actors
