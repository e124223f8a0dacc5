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

/// Begins the accumulation of n micro-batches, with memory for its sums. Collective.
/// Errors
///   lost_peer; out_of_memory: of any rank, on all of them, and nothing has begun.
void begin_accumulation(learner& learns, int64_t n);

/// Where the gradients of an update's steps go: onto the learner's sums. Where passes compute on a card and the sums
/// are in host memory, they come and go by segments (card_gradients.hpp); bits depend on the lanes alone there too.
class step_gradients {
public:
  /// All outlive it. `of`: the model whose gradients they are.
  step_gradients(context& ctx, learner& learns, const trainee& of)
      : ctx_(ctx), where_sums_are_{ctx.pool, learns.on()}, learns_(learns), net_(of.net),
        on_card_(of.workspace.gradients) {}
  step_gradients(const step_gradients&) = delete;
  step_gradients& operator=(const step_gradients&) = delete;
  ~step_gradients() { on_card_.give_back(); }  // generation needs the memory

  /// A step, with or without a micro-batch.
  void begin_step();
  /// What to accumulate the gradient of this step's micro-batch j onto, where the passes compute.
  /// Errors  out_of_memory, device_failure.
  float* onto(int64_t j);
  /// For transformer::backward in this step.
  std::function<void(int64_t)> segment_done();
  /// Returns when the sums have what the step has computed.
  /// Errors  device_failure.
  void bring_down();
  void end_step();
  /// After the last step.
  void finish();

private:
  bool are_brought_down() const { return ctx_.on != nullptr && learns_.on() == nullptr; }

  context& ctx_;
  context where_sums_are_;
  learner& learns_;
  const transformer& net_;
  card_gradients& on_card_;
};

/// Runs `objective(j, trainee) -> Statistics` for this rank's micro-batches of an update of n, accumulating their
/// gradients in `learns`, and returns the statistics of all n micro-batches by index. Folded in that order they are the
/// same bits for any number of ranks and lanes. Weights that are fetched are fetched by all ranks in each step. `touch`
/// is called after each step. `model.gradients` is not looked at.
/// Collective: every rank of the learner's group calls it with the same n.
/// Errors
///   out_of_memory, lost_peer: begin_accumulation.
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
  begin_accumulation(learns, n);
  step_gradients gradients(ctx, learns, model);
  for (const int64_t j : learns.order(n)) {
    gradients.begin_step();
    trainee step{.net = model.net,
                 .weights = model.weights,
                 .gradients = nullptr,
                 .workspace = model.workspace,
                 .segment_done = gradients.segment_done()};
    if (j < 0 || failure) {
      idle_micro_batch(ctx, step);
    } else {
      failure = error_to_share(passes_are_own, [&] {
        step.gradients = gradients.onto(j);
        mine.push_back(objective(j, step));
      });
    }
    if (!failure) {
      failure = error_to_share(passes_are_own, [&] { gradients.bring_down(); });
    }
    gradients.end_step();
    touch();
  }
  gradients.finish();
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
