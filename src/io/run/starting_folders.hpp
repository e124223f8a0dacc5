/// Which folder each model of a job is read from: an option of the job, the result of an earlier phase, or another
/// model's start. The one place that says so.
#pragma once

#include "io/job/job.hpp"
#include "io/run/run_directory.hpp"

#include <filesystem>

namespace troupe::io {

struct starting_folders {
  std::filesystem::path policy;     ///< of the ppo phase: what the sft phase has made, else model.policy
  std::filesystem::path reference;  ///< model.reference, else as the policy
  std::filesystem::path trunk;      ///< of the reward phase's model: model.reward, else model.policy
  /// The reward model of sources that name none: what the reward phase has made, else model.reward. Without either no
  /// such source is allowed, and it is the trunk.
  std::filesystem::path reward;
  /// model.critic, else as that reward model; with neither a reward phase nor model.reward, as the policy.
  std::filesystem::path critic;
};

/// The folders as the phases of `run` find them. The pairs and the sft phase start from model.policy itself.
///
/// Without a run (null) they tell of shapes and tokenizers alone: in place of an earlier phase's result stands the
/// folder that this phase starts from, which has the same. So a job can be planned before anything has run, and a
/// checkpoint be read where a result has gone. Looks at no file.
starting_folders starting_folders_of(const job& j, const run_directory* run);

}  // namespace troupe::io
