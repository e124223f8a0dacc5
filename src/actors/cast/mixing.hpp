/// Mixing: answers that earlier iterations have stored, to be learned from beside those of an iteration. Which ones is
/// a function of (seed, iteration): the same on every rank, for any number of ranks, and after any restart.
#pragma once

#include "actors/cast/rollout.hpp"
#include "actors/cast/stored_rollouts.hpp"
#include "actors/protocol/messages.hpp"
#include "engine/parallel/communicator.hpp"

#include <cstdint>
#include <vector>

namespace troupe::actors {

struct mixing_rules {
  uint64_t seed = 1;
  double share = 0;             ///< of the answers that an iteration learns from
  expected_experience stored;   ///< what the files must be
  std::vector<int> scoring_on;  ///< the ranks that can say what the policy gives them now
};

/// How many stored answers, of `stored`, make the share beside so many fresh ones, to the nearest; all of them where
/// they are fewer.
int64_t mixed_beside(int64_t fresh, double share, int64_t stored);

/// Which: `wanted` of 0..stored-1, ascending, none twice.
std::vector<int64_t> choose_stored(uint64_t seed, uint64_t iteration, int64_t stored, int64_t wanted);

struct mixed_answers {
  rollout sequences;            ///< by id; scored by reference, reward and critic
  int64_t versions_behind = 0;  ///< sum over them of the policy versions that have followed
};

/// The answers for an iteration with so many fresh ones. Collective: the first rank reads, one file after the other,
/// and tells the others.
/// Errors  on every rank the same: those of io::read_experience and require_expected; bad_argument: two files have an
///         answer of the same id.
mixed_answers take_stored(const mixing_rules& rules, const mix_command& command, int64_t fresh,
                          engine::communicator& group);

}  // namespace troupe::actors
