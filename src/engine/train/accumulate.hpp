/// The loop over the micro-batches of an update, on one rank or many.
#pragma once

#include "engine/optim/learner.hpp"
#include "engine/parallel/results.hpp"
#include "engine/train/micro_batch.hpp"

#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

namespace troupe::engine {

/// Every rank's statistics of its micro-batches, by micro-batch: the same on every rank.
/// `size`: bytes of one micro-batch's. `failure`: what this rank has met instead.
/// Errors
///   lost_peer, also where a rank sent another number of them; the failure of any rank.
std::vector<std::byte> gather_statistics(const learner& learns, int64_t n, std::span<const std::byte> mine, size_t size,
                                         const std::optional<error>& failure);

/// Runs `objective(j, trainee) -> Statistics` for this rank's micro-batches of an update of n, accumulating their
/// gradients in `learns`, and returns the statistics of all n micro-batches by index. Folded in that order they are the
/// same bits for any number of ranks and lanes. Weights that are fetched are fetched by all ranks in each step. `touch`
/// is called after each step. `model.gradients` is not looked at.
/// Collective: every rank of the learner's group calls it with the same n.
/// Errors
///   Those of the objective. Where a rank meets one, it takes part in the rest without computing, and all ranks throw
///   it at the end, with nothing accumulated. (Where passes fetch weights, one that breaks off in the midst of a pass,
///   for want of memory say, is thrown by that rank at once: it cannot take part in the rest.)
template <class Statistics, class Objective>
std::vector<Statistics> accumulate(context& ctx, learner& learns, int64_t n, const trainee& model,
                                   const Objective& objective, const std::function<void()>& touch) {
  static_assert(std::is_trivially_copyable_v<Statistics>);
  const bool passes_are_own = model.weights.access == nullptr;
  std::vector<Statistics> mine;
  std::optional<error> failure;
  learns.begin(n);
  for (const int64_t j : learns.order(n)) {
    const trainee step{.net = model.net,
                       .weights = model.weights,
                       .gradients = j < 0 ? nullptr : learns.gradients(ctx, j),
                       .workspace = model.workspace,
                       .segment_done = learns.segment_done(ctx)};
    if (j < 0 || failure) {
      idle_micro_batch(ctx, step);
    } else {
      failure = error_to_share(passes_are_own, [&] { mine.push_back(objective(j, step)); });
    }
    learns.end_step(ctx);
    touch();
  }
  learns.finish(ctx);
  try {
    const auto bytes = gather_statistics(learns, n, std::as_bytes(std::span(mine)), sizeof(Statistics), failure);
    std::vector<Statistics> all(static_cast<size_t>(n));
    std::memcpy(static_cast<void*>(all.data()), bytes.data(), bytes.size());
    return all;
  } catch (const error&) {
    learns.discard();
    throw;
  }
}

}  // namespace troupe::engine
