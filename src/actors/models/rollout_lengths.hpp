/// How long the sequences of a phase's rollouts are: known before anything starts.
#pragma once

#include "io/job/job.hpp"

#include <cstdint>

namespace troupe::actors {

/// Tokens of an answer in the rollouts of phase pairs or ppo, at most.
int64_t new_tokens_of(const io::job& job, io::phase phase);

/// Tokens of the longest sequence of these rollouts: `positions`, the policy's, may cut an answer short.
/// length.max-tokens limits records of data, not these.
int64_t longest_rollout(const io::job& job, io::phase phase, int64_t positions);

}  // namespace troupe::actors
