/// The job's reward sources (trained models, rules) and what they say of finished answers.
#pragma once

#include "actors/cast/scoring.hpp"
#include "actors/models/model_files.hpp"
#include "engine/optim/card_weights.hpp"
#include "engine/parallel/communicator.hpp"
#include "io/job/job.hpp"
#include "io/rewards/command_reward.hpp"
#include "io/rewards/lexicon.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe::actors {

/// One of the job's reward sources, ready to judge.
struct reward_judge {
  io::reward_source source;
  model_ptr of;                                           ///< kind model; of the others null
  io::lexicon words;                                      ///< kind lexicon
  std::shared_ptr<io::command_reward> program = nullptr;  ///< kind command; of the others null
};

/// Whether a source of this kind may be without a reward for an answer, which is then NaN. Of others NaN is an error.
bool may_be_unscorable(io::reward_kind kind);

/// Requires that a source that may be without rewards has given enough of them: max-unscorable of its section, and one.
/// `raw`: what it gave the answers of an iteration.
/// Errors  bad_argument: too many are NaN.
void require_scored(const io::reward_source& source, std::span<const float> raw);

/// The judges at work: while it lives, the weights of those that are models are in use.
class judging {
public:
  /// All outlive it. `ctx`: where models compute; `tokens`: of the policy, for judges that read text;
  /// `source_names`: of the prompts' data sets.
  judging(context& ctx, std::span<const reward_judge> judges, const io::tokenizer& tokens,
          std::span<const std::string> source_names = {});

  /// The ranks that share a judge's weights; null where none is shared.
  engine::communicator_ptr group() const;

  /// The raw reward of each source, in the order of the judges, for each sequence of the batch. NaN: this source has
  /// none for it (may_be_unscorable).
  /// Errors  io_failure: a program that judges does not work.
  std::vector<std::vector<float>> verdicts(const scored_batch& batch);

private:
  io::answer_item item_of(const finished_sequence& sequence) const;
  std::vector<float> rewards_by_program(io::command_reward& program, const scored_batch& batch) const;
  /// One judge's reward of each sequence.
  std::vector<float> rewards_by(size_t judge, const scored_batch& batch);

  context& ctx_;
  std::span<const reward_judge> judges_;
  const io::tokenizer& tokens_;
  std::span<const std::string> source_names_;
  std::vector<std::unique_ptr<engine::weights_in_use>> weights_;  ///< by judge; null where it is no model
};

}  // namespace troupe::actors
