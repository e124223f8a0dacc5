/// The gradients of micro-batches that a card computes, for sums that stand in host memory.
#pragma once

#include "base/context.hpp"
#include "engine/arena/card_arena.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/tensor/buffer.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace troupe::engine {

/// An arena on the card, onto which micro-batches accumulate one after another, until it is added to the sums. It takes
/// four bytes a parameter, from `onto` until `give_back`.
class card_gradients {
public:
  /// The arena: zero where nothing has been accumulated since the last add_rest.
  /// Errors  out_of_memory, device_failure.
  float* onto(context& ctx, const inference_model& net);

  /// Adds what has been accumulated of a segment to `sums`, a whole arena of the host's, once. Nothing where nothing
  /// was accumulated.
  /// Errors  device_failure.
  void add_segment(context& ctx, int64_t segment, float* sums);
  /// The segments that were not added one by one. What is accumulated next is another sum.
  void add_rest(context& ctx, float* sums);

  /// Drops what is there, and gives the memory back.
  void give_back();

private:
  static constexpr const char* holder = "gradients";
  bool begun() const { return !added_.empty(); }

  buffer arena_{holder};
  std::vector<bool> added_;         ///< by segment; empty: nothing has been accumulated
  std::optional<shard_plan> plan_;  ///< of one rank: for its segments
  staging through_;
};

}  // namespace troupe::engine
