/// Memory of a card for what arrives from other ranks: pieces of one range, which stays from use to use. Internal.
#pragma once

#include "base/device.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace troupe::engine {

/// A piece is taken at the range's beginning, where that is free, else as far behind as there is room. So pieces that
/// are there two at a time, each taken while the one before it is, need no more than the largest two neighbours
/// together; and pieces that are all there at a time no more than their sum.
class arriving_room {
public:
  explicit arriving_room(device& on) : on_(on) {}
  ~arriving_room();
  arriving_room(const arriving_room&) = delete;
  arriving_room& operator=(const arriving_room&) = delete;

  struct piece {
    std::byte* at = nullptr;
    int64_t bytes = 0;
  };

  /// Has the range take pieces of so many bytes together, each of them `rounded`; where pieces are taken, from when
  /// they have been given back.
  /// Errors  out_of_memory.
  void reserve(int64_t bytes);
  static int64_t rounded(int64_t bytes);

  /// Where the range has no room, memory of its own.
  /// Errors  out_of_memory.
  piece take(int64_t bytes);
  /// Once what was to be computed from it has been given to the compute queue.
  void give_back(const piece& used);

private:
  struct block {
    int64_t first = 0, last = 0;
  };
  void grow(int64_t bytes);
  std::byte* map(int64_t bytes);
  std::optional<int64_t> place_for(int64_t bytes) const;

  device& on_;
  std::byte* at_ = nullptr;
  int64_t bytes_ = 0, wanted_ = 0;
  std::vector<block> taken_;  ///< of the range, in its order
};

}  // namespace troupe::engine
