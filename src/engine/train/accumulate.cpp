#include "engine/train/accumulate.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace troupe::engine {

void begin_accumulation(learner& learns, int64_t n) {
  learns.begin(n);
  try {
    gather_results(learns.group().get(), {}, error_to_share(true, [&] { learns.take_memory(); }),
                   {.label = "memory for gradients"});
  } catch (const error&) {
    learns.discard();
    throw;
  }
}

void step_gradients::begin_step() {
  if (are_brought_down()) {
    on_card_.begin_step(learns_.segment_done(where_sums_are_));
  }
}

float* step_gradients::onto(int64_t j) {
  float* const lane = learns_.gradients(where_sums_are_, j);
  return are_brought_down() ? on_card_.onto(ctx_, net_, lane) : lane;
}

std::function<void(int64_t)> step_gradients::segment_done() {
  if (!are_brought_down()) {
    return learns_.segment_done(where_sums_are_);
  }
  return [this](int64_t segment) { on_card_.segment_done(ctx_, segment); };
}

void step_gradients::bring_down() {
  if (are_brought_down()) {
    on_card_.end_step(ctx_);
  }
}

void step_gradients::end_step() {
  if (learns_.lane_ends()) {
    on_card_.end_lane();
  }
  learns_.end_step(where_sums_are_);
}

void step_gradients::finish() { learns_.finish(where_sums_are_); }

std::vector<std::byte> gather_statistics(const learner& learns, int64_t n, std::span<const std::byte> mine, size_t size,
                                         const std::optional<error>& failure) {
  const auto by_rank = gather_results(learns.group().get(), mine, failure, {.label = "terms of the loss"});
  std::vector<std::byte> all(static_cast<size_t>(n) * size);
  for (size_t r = 0; r < by_rank.size(); ++r) {
    auto micro_batches = learns.order(n, static_cast<int>(r));
    std::erase(micro_batches, -1);
    if (by_rank[r].size() != micro_batches.size() * size) {
      throw error(errc::lost_peer, "rank {} sent {} bytes of statistics of its {} micro-batches, {} were expected", r,
                  by_rank[r].size(), micro_batches.size(), micro_batches.size() * size);
    }
    for (size_t i = 0; i < micro_batches.size(); ++i) {
      std::copy_n(by_rank[r].begin() + static_cast<std::ptrdiff_t>(i * size), size,
                  all.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(micro_batches[i]) * size));
    }
  }
  return all;
}

}  // namespace troupe::engine
