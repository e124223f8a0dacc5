/// A rank's share of a rollout: which prompts it answers, the generator that does, and what becomes of finished
/// sequences. The weights are the policy's as they are when a rollout begins; nothing else may use them until it has
/// ended or has been given up.
#pragma once

#include "actors/cast/device.hpp"
#include "actors/cast/rollout_journal.hpp"
#include "actors/models/model_files.hpp"
#include "actors/models/options.hpp"
#include "actors/protocol/rank_data.hpp"
#include "base/stopwatch.hpp"
#include "engine/generate/generator.hpp"
#include "engine/optim/card_weights.hpp"
#include "engine/parallel/communicator.hpp"
#include "engine/tensor_parallel/column_model.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <caf/all.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace troupe::actors {

struct rollout_settings {
  device_ptr on;
  model_ptr of;
  std::shared_ptr<const io::tokenizer> tokens;
  rollout_options options;
  int rank = 0, ranks = 1;                  ///< this rank among those that share the prompts
  engine::communicator_ptr columns;         ///< the neighbours that generate together with it; null: it generates alone
  caf::actor replay;                        ///< gets finished sequences
  std::vector<int32_t> turn_ends;           ///< tokens that end an answer, besides the model's and the tokenizer's own
  std::optional<journal_settings> journal;  ///< none where nothing is kept of unfinished rollouts
};

class rollout_generation {
public:
  explicit rollout_generation(rollout_settings settings);

  /// Whether the rollout of this batch of prompts is under way.
  bool has_begun(uint64_t batch_id) const { return prompts_.value != nullptr && prompts_->id == batch_id; }

  /// Gives up what is unfinished of the last rollout, and begins that of `prompts`, which are those of all ranks: this
  /// rank takes its share. What earlier attempts have finished of it goes to replay, and is not sampled again.
  /// `rollbacks`: of the phase so far. Collective among ranks that generate together or share the weights.
  /// Errors  bad_argument: those of generator::submit; io_failure, bad_file: what earlier attempts have left.
  void begin(const batch_handle& prompts, uint64_t rollbacks = 0);

  /// Moves prompts to and from other ranks, makes at most command.steps steps, and sends replay what has finished.
  /// `progress` is touched after each step. With command.ends the memory that generation alone needs is given back.
  /// Errors  bad_argument: a prompt that there is not; one to give away that has been begun.
  generate_reply advance(const generate_command& command, const operation_scope& progress);

private:
  int ranks_together() const { return settings_.columns ? settings_.columns->size() : 1; }
  bool is_evaluation() const { return prompts_->what == serving::held_out_prompts; }
  bool keeps_journal() const { return journal_ && !is_evaluation(); }
  void gather_weights();
  void send_columns(dtype type);
  const_reals weights_to_read() const;
  void make_generator();
  std::vector<int> share_of_prompts() const;
  std::vector<uint64_t> sequence_ids(uint64_t prompt) const;
  /// Those which no earlier attempt has finished.
  std::vector<uint64_t> unfinished_ids(uint64_t prompt) const;
  void read_journal(uint64_t rollbacks);
  void take_up(uint64_t prompt);
  /// Ranks that generate together all have the same sequences, of which the first sends them.
  bool sends() const { return !settings_.columns || settings_.columns->rank() == 0; }
  void add_prompt(uint64_t prompt);
  void withdraw_prompt(uint64_t prompt);
  void send(const sequence_handle& sequence);
  void send_finished();
  generate_reply report(int64_t answer_tokens_before, const stopwatch& watch) const;
  void release();

  rollout_settings settings_;
  std::vector<int32_t> stop_tokens_;
  engine::stop_check stop_check_;
  std::unique_ptr<engine::column_model> columns_;          ///< this rank's part, where ranks generate together
  std::unique_ptr<engine::weights_in_use> weights_;        ///< all of them, while it generates alone
  std::unique_ptr<engine::card_weights> columns_on_card_;  ///< those of columns_ that lie in host memory
  const_reals columns_data_ = nullptr;                     ///< and where they stay
  std::unique_ptr<engine::generator> generator_;
  batch_handle prompts_;  ///< of all ranks; null before the first rollout
  std::optional<rollout_journal> journal_;
  std::map<uint64_t, sequence_handle> finished_before_;  ///< by earlier attempts, of all prompts
  int64_t taken_up_ = 0, taken_up_tokens_ = 0;           ///< of them, this rank's that have not been reported
  std::map<uint64_t, uint64_t> prompt_of_id_;            ///< of this rank's unfinished sequences: places in the batch
};

}  // namespace troupe::actors
