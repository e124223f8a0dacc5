#include "actors/models/rollout_lengths.hpp"

#include <algorithm>

namespace troupe::actors {

int64_t new_tokens_of(const io::job& job, io::phase phase) {
  const bool own = phase == io::phase::pairs && job.pairs.max_new_tokens > 0;
  return own ? job.pairs.max_new_tokens : job.generation.max_new_tokens;
}

int64_t longest_rollout(const io::job& job, io::phase phase, int64_t positions) {
  return std::min(positions, job.length.max_prompt_tokens + new_tokens_of(job, phase));
}

}  // namespace troupe::actors
