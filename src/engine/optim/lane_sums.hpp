/// Sums in lanes, joined by a fixed binary tree ((0+1)+(2+3))+... Lanes are visited in rising order and joined like the
/// digits of a binary counter, so that 1 + log2(S) buffers are held, not S. A lane without a summand counts as
/// absent, and a tree whose one side is absent is the other side.
/// On a card buffers have memory from when they are first needed, or held, until `clear`.
#pragma once

#include "base/context.hpp"
#include "engine/arena/paged_arena.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace troupe::engine {

class lane_sums {
public:
  /// Buffers of `size` floats; `lanes` is a power of two, or 1. All calls have a context that computes there.
  lane_sums(int64_t size, int64_t lanes, arena_place at = {}) : size_(size), lanes_(lanes), place_(std::move(at)) {}

  /// Memory for so many buffers, so that no lane lacks it later.
  /// Errors  out_of_memory.
  void hold(int64_t buffers);

  /// The lane's buffer, to sum onto: zero when the lane is entered first.
  /// Errors  bad_argument: the lane was left or joined already, or is none. out_of_memory.
  float* enter(context& ctx, int64_t lane);

  /// The sum of all lanes in the range [first, first + count), joined in place: ranges can be joined one by one, each
  /// once. No lane can be entered any more. Zeros where there was no summand.
  float* joined(context& ctx, int64_t first, int64_t count);

  /// Drops everything; buffers stay, and are zero. On a card they give their memory back.
  void clear();

  int64_t size() const { return size_; }
  int64_t lane() const { return lane_; }  ///< the open one; -1: none since the last clear
  int64_t buffers() const { return static_cast<int64_t>(buffers_.size()); }

  /// The most buffers that `lanes` visited lanes hold at one time: 1 + floor(log2(lanes)).
  static int64_t buffers_for(int64_t lanes);

private:
  struct sum {
    int64_t level = 0;    ///< of 2^level lanes
    int64_t buffer = -1;  ///< in buffers_; -1: absent
  };
  void close(context& ctx);
  int64_t take_buffer();
  void make_buffer();
  void release(int64_t buffer);
  float* at(int64_t buffer) { return buffers_[static_cast<size_t>(buffer)].data(); }

  int64_t size_, lanes_;
  arena_place place_;
  int64_t lane_ = -1;
  bool joining_ = false;
  std::vector<sum> sums_;  ///< of the closed lanes, the largest first; the last is the open lane's
  std::vector<paged_arena> buffers_;
  std::vector<int64_t> free_;
};

}  // namespace troupe::engine
