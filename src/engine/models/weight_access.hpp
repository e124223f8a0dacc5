/// Where a pass finds its weights when a rank does not hold all of them (ZeRO stage 3): segments of the arena
/// (transformer::segments) are fetched before they are used and let go afterwards. Addresses in the arena stay the
/// same.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <concepts>
#include <cstdint>
#include <utility>

namespace troupe::engine {

class weight_access {
public:
  virtual ~weight_access() = default;

  /// Starts to fetch a segment that will be acquired soon. Collective: all ranks of the model call it, and acquire,
  /// in the same order.
  virtual void prefetch(int64_t segment) = 0;

  /// Returns when the segment's weights are in the arena.
  /// Errors  lost_peer.
  virtual void acquire(context& ctx, int64_t segment) = 0;

  /// The pass is done with the segment for now.
  virtual void release(int64_t segment) = 0;
};

/// Acquires all segments: for generation, which has no collective in its loop.
inline void acquire_all(context& ctx, weight_access& access, int64_t segments) {
  for (int64_t s = 0; s < segments; ++s) {
    access.acquire(ctx, s);
    if (s + 1 < segments) {
      access.prefetch(s + 1);
    }
  }
}

/// An arena of weights, and how to get at its segments.
struct weights_view {
  const_reals data = nullptr;
  weight_access* access = nullptr;  ///< null: all weights are present

  template <std::convertible_to<const_reals> Arena>
  // NOLINTNEXTLINE(google-explicit-constructor): whoever has all weights passes the arena as it is.
  weights_view(Arena all, weight_access* by = nullptr) : data(all), access(by) {}
};

/// A segment that is in use.
class held_segment {
public:
  held_segment(context& ctx, weight_access* access, int64_t segment) : access_(access), segment_(segment) {
    if (access_ != nullptr) {
      access_->acquire(ctx, segment_);
    }
  }
  held_segment(const held_segment&) = delete;
  held_segment& operator=(const held_segment&) = delete;
  ~held_segment() {
    if (access_ != nullptr) {
      access_->release(segment_);
    }
  }

private:
  weight_access* access_;
  int64_t segment_;
};

/// The segments of a pass, one after another, each fetched while the one before it is in use.
class segment_walk {
public:
  /// From `first` to `last`, up or down. A null access: a walk that does nothing.
  segment_walk(context& ctx, weight_access* access, int64_t first, int64_t last)
      : ctx_(ctx), access_(access), next_(first), last_(last), step_(first <= last ? 1 : -1) {}
  segment_walk(const segment_walk&) = delete;
  segment_walk& operator=(const segment_walk&) = delete;
  ~segment_walk() { leave(); }

  /// On to the next segment; the one before it is let go.
  void enter_next() {
    if (access_ == nullptr || ended()) {
      return;
    }
    leave();
    access_->acquire(ctx_, next_);
    held_ = next_;
    next_ += step_;
    if (!ended()) {
      access_->prefetch(next_);
    }
  }

  /// The whole way at once: what a rank does that has nothing to compute while others have.
  void enter_all() {
    while (access_ != nullptr && !ended()) {
      enter_next();
    }
  }

private:
  static constexpr int64_t none = -1;

  bool ended() const { return next_ == last_ + step_; }

  void leave() {
    if (held_ != none) {
      access_->release(std::exchange(held_, none));
    }
  }

  context& ctx_;
  weight_access* access_;
  int64_t next_, last_, step_;
  int64_t held_ = none;  ///< the segment that is in use
};

}  // namespace troupe::engine
