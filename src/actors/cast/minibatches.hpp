/// The minibatches of an assembled rollout: slices of a permutation, split into micro-batches.
#pragma once

#include "actors/cast/rollout.hpp"
#include "actors/protocol/messages.hpp"
#include "actors/protocol/rank_data.hpp"
#include "engine/objectives/ppo.hpp"
#include "engine/train/experience.hpp"

#include <cstdint>
#include <vector>

namespace troupe::actors {

struct minibatch_rules {
  uint64_t seed = 1;        ///< of the order of the sequences
  int64_t minibatches = 1;  ///< of an epoch
  micro_batch_rules micro_batches;
  engine::loss_mean mean = engine::loss_mean::token;
};

/// The sequences of a minibatch, by their places among `sequences`, ascending: a slice of a permutation that depends on
/// (seed, iteration, epoch).
std::vector<int64_t> sequences_of(const minibatch_rules& rules, const minibatch_command& wanted, int64_t sequences);

/// A minibatch, and what is said of it: its loss terms are the answer tokens that count.
struct served_minibatch {
  minibatch_handle batch;
  serve_reply reply;
};

/// `arrays`: what has been made of the answers of `assembled`, end to end. `as_sampled`: before its first update the
/// policy has the log-probabilities that the arrays start from.
served_minibatch make_minibatch(const minibatch_rules& rules, const minibatch_command& wanted, const rollout& assembled,
                                const engine::rollout_arrays& arrays, bool as_sampled = true);

}  // namespace troupe::actors
