/// The policy: the language model that is trained. It generates, learns from demonstrations (SFT), from experience
/// (PPO) and from text mixed in, all with one copy of its weights.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/shelf.hpp"
#include "actors/models/model_files.hpp"
#include "actors/protocol/interfaces.hpp"
#include "actors/protocol/rank_data.hpp"
#include "base/stopwatch.hpp"
#include "engine/generate/generator.hpp"
#include "engine/parallel/communicator.hpp"
#include "engine/tensor_parallel/column_model.hpp"
#include "engine/train/micro_batch.hpp"
#include "io/job/job.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <caf/all.hpp>

#include <map>
#include <memory>
#include <optional>

namespace troupe::actors {

using tokenizer_ptr = std::shared_ptr<const io::tokenizer>;

struct policy_settings {
  io::job job;
  io::phase phase = io::phase::sft;
  device_ptr on;
  trained_model_ptr trained;  ///< its learner is null where the phase does not train the policy
  tokenizer_ptr tokens;
  int rank = 0, ranks = 1;           ///< among those that share its work
  engine::communicator_ptr columns;  ///< of them, those that generate together, neighbours; null: each alone
  caf::actor replay;                 ///< gets finished sequences; none where nothing is rolled out
};

class policy_state {
public:
  static inline const char* name = "policy";

  void open(policy_settings settings);
  void keep(const batch_handle& batch) { batches_.keep(batch); }
  void keep(const minibatch_handle& batch) { minibatches_.keep(batch); }

  generate_reply generate(const generate_command& command);
  train_reply train(const train_command& command);
  train_reply evaluate(const train_command& command);

private:
  void begin_rollout(const batch_handle& batch);
  void end_rollout();
  void prepare_generator();
  int column_ranks() const { return settings_.columns ? settings_.columns->size() : 1; }
  std::vector<uint64_t> sequence_ids(uint64_t prompt) const;
  void take_prompt(uint64_t prompt);
  void give_prompt(uint64_t prompt);
  generate_reply report(const engine::generator_counters& before, const stopwatch& watch);
  kernels::sampling_settings sampling() const;
  void send_finished();
  train_reply learn_text(const batch_handle& batch, const train_command& command);
  train_reply learn_experience(const minibatch_handle& batch, const train_command& command);
  engine::policy_statistics learn_part(const engine::trainee& to, const minibatch::part& part, double kl_coefficient);
  void require_exact(const engine::policy_statistics& sums) const;
  engine::trainee trainee(engine::gathered_weights& weights);

  policy_settings settings_;
  std::unique_ptr<engine::train_workspace> workspace_;
  std::unique_ptr<engine::column_model> columns_;              ///< this rank's part, where ranks generate together
  std::unique_ptr<engine::gathered_weights> rollout_weights_;  ///< all of them, while it generates by itself
  std::unique_ptr<engine::generator> generator_;
  batch_handle rollout_;                    ///< under way: the prompts of all ranks
  std::map<uint64_t, uint64_t> sequences_;  ///< of this rank, unfinished: the place of each one's prompt in the batch
  shelf<batch_handle> batches_{"the policy"};
  shelf<minibatch_handle> minibatches_{"the policy"};
};

policy_actor::behavior_type policy(policy_actor::stateful_pointer<policy_state> self, policy_settings settings);

}  // namespace troupe::actors
