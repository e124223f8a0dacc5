/// The casts of all ranks, as the director sees them: which actors play a part, and which parts share ranks.
#pragma once

#include "actors/protocol/interfaces.hpp"

#include <caf/all.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {

/// A part that each rank's cast may have: &cast::policy.
using cast_part = caf::strong_actor_ptr cast::*;

class company {
public:
  company() = default;
  /// The casts by rank.
  explicit company(std::vector<cast> by_rank) : by_rank_(std::move(by_rank)) {}

  /// The actors of a part on all ranks that have it, by rank.
  template <class Handle> std::vector<Handle> everyone(cast_part part) const {
    std::vector<Handle> handles;
    for (const cast& rank : by_rank_) {
      if (rank.*part) {
        handles.push_back(caf::actor_cast<Handle>(rank.*part));
      }
    }
    return handles;
  }

  bool has(cast_part part) const;

  /// Whether a rank has both parts. A rank does one thing after the other; parts that share none may work at the same
  /// time.
  bool share_ranks(cast_part part, cast_part other) const;

  /// What the loaders have found, which is the same on every rank.
  int64_t held_out() const { return by_rank_.front().held_out; }
  int64_t epoch_size() const { return by_rank_.front().epoch_size; }
  const std::vector<std::string>& notes() const { return by_rank_.front().notes; }

private:
  std::vector<cast> by_rank_;
};

}  // namespace troupe::actors
