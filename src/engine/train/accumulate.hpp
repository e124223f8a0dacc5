/// The loop over the micro-batches of an update, on one rank or many.
#pragma once

#include "engine/optim/learner.hpp"
#include "engine/train/micro_batch.hpp"

#include <cstring>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

namespace troupe::engine {

/// Every rank's statistics of its micro-batches, by micro-batch: the same on every rank.
/// `size`: bytes of one micro-batch's.
/// Errors  lost_peer, also where a rank sent another number of them.
std::vector<std::byte> gather_statistics(const learner& learns, int64_t n, std::span<const std::byte> mine,
                                         size_t size);

/// Runs `train(j, trainee) -> Statistics` for this rank's micro-batches of an update of n, accumulating their gradients
/// in `learns`, and returns the statistics of all n micro-batches by index. Folded in that order they are the same
/// bits for any number of ranks and lanes. Weights that are fetched are fetched by all ranks in each step. `touch` is
/// called after each step. `model.gradients` is not looked at. Collective: every rank of the learner's group calls it
/// with the same n.
template <class Statistics, class Train>
std::vector<Statistics> accumulate(context& ctx, learner& learns, int64_t n, const trainee& model, const Train& train,
                                   const std::function<void()>& touch) {
  static_assert(std::is_trivially_copyable_v<Statistics>);
  std::vector<Statistics> mine;
  learns.begin(n);
  for (const int64_t j : learns.order(n)) {
    const trainee step{.net = model.net,
                       .weights = model.weights,
                       .gradients = j < 0 ? nullptr : learns.gradients(ctx, j),
                       .workspace = model.workspace,
                       .segment_done = learns.segment_done(ctx)};
    if (j < 0) {
      idle_micro_batch(ctx, step);
    } else {
      mine.push_back(train(j, step));
    }
    learns.end_step(ctx);
    touch();
  }
  learns.finish(ctx);
  const auto bytes = gather_statistics(learns, n, std::as_bytes(std::span(mine)), sizeof(Statistics));
  std::vector<Statistics> all(static_cast<size_t>(n));
  std::memcpy(static_cast<void*>(all.data()), bytes.data(), bytes.size());
  return all;
}

}  // namespace troupe::engine
