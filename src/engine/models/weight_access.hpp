/// Where a pass finds its weights when a rank does not hold all of them (ZeRO stage 3): segments of the arena
/// (transformer::segments) are fetched before they are used and let go afterwards. Addresses in the arena stay the same.
#pragma once

#include "kernels/base/context.hpp"

#include <cstdint>

namespace troupe::engine {

class weight_access {
public:
  virtual ~weight_access() = default;

  /// Starts to fetch a segment that will be acquired soon. Collective: all ranks of the model call it, and acquire, in the
  /// same order.
  virtual void prefetch(int64_t segment) = 0;

  /// Returns when the segment's weights are in the arena.   Errors  lost_peer.
  virtual void acquire(context& ctx, int64_t segment) = 0;

  /// The pass is done with the segment for now.
  virtual void release(int64_t segment) = 0;
};

}  // namespace troupe::engine
