/// Held-out evaluation: forward passes over batches, divided over ranks by tokens.
#pragma once

#include "engine/parallel/communicator.hpp"
#include "engine/train/batch.hpp"

#include <cstring>
#include <functional>
#include <span>
#include <type_traits>
#include <vector>

namespace troupe::engine {

/// Calls `one(batch)` for this rank's share of the batches, and gives every rank what it returned for each of them, by
/// batch. Every rank makes as many calls, the last ones with an empty batch, so that weights that are fetched are
/// fetched by all. Collective.
/// Errors
///   lost_peer, also where a rank sent something else. An error of `one` that says that numbers are not finite is
///   thrown by all ranks at the end; any other by the rank that meets it, at once.
std::vector<std::vector<std::byte>>
evaluate_in_shares(communicator* group, std::span<const packed_batch> batches,
                   const std::function<std::vector<std::byte>(const packed_batch& batch)>& one);

/// The same of values: `one(batch) -> std::vector<Value>`. `group`: null: one rank alone. Folded in the order of the
/// batches they are the same bits for any number of ranks.
template <class Value, class One>
std::vector<std::vector<Value>> evaluate(communicator* group, std::span<const packed_batch> batches, const One& one) {
  static_assert(std::is_trivially_copyable_v<Value>);
  const auto as_bytes = [&one](const packed_batch& batch) {
    const std::vector<Value> values = one(batch);
    const auto bytes = std::as_bytes(std::span(values));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  std::vector<std::vector<Value>> all;
  for (const std::vector<std::byte>& bytes : evaluate_in_shares(group, batches, as_bytes)) {
    std::vector<Value>& values = all.emplace_back(bytes.size() / sizeof(Value));
    std::memcpy(static_cast<void*>(values.data()), bytes.data(), values.size() * sizeof(Value));
  }
  return all;
}

}  // namespace troupe::engine
