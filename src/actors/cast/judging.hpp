/// The job's reward sources (trained models, rules) and what they say of finished answers.
#pragma once

#include "actors/cast/scoring.hpp"
#include "actors/models/model_files.hpp"
#include "engine/optim/rank_weights.hpp"
#include "engine/parallel/communicator.hpp"
#include "io/job/job.hpp"
#include "io/rewards/lexicon.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <memory>
#include <span>
#include <vector>

namespace troupe::actors {

/// One of the job's reward sources, ready to judge.
struct reward_judge {
  io::reward_source source;
  model_ptr of;       ///< kind model; of the others null
  io::lexicon words;  ///< kind lexicon
};

/// The judges at work: while it lives, the weights of those that are models are in use.
class judging {
public:
  /// `judges` and `tokens` outlive it. `tokens`: of the policy, for judges that read text.
  judging(std::span<const reward_judge> judges, const io::tokenizer& tokens);

  /// The ranks that share a judge's weights; null where none is shared.
  engine::communicator_ptr group() const;

  /// The raw reward of each source, in the order of the judges, for each sequence of the batch.
  std::vector<std::vector<float>> verdicts(context& ctx, const scored_batch& batch);

private:
  /// One judge's reward of each sequence.
  std::vector<float> rewards_by(size_t judge, context& ctx, const scored_batch& batch);

  std::span<const reward_judge> judges_;
  const io::tokenizer& tokens_;
  std::vector<std::unique_ptr<engine::gathered_weights>> weights_;  ///< by judge; null where it is no model
};

}  // namespace troupe::actors
