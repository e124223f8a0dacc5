/// The gradients of micro-batches that a card computes, for sums that stand in host memory.
///
/// Sums    A segment begins with what its lane has so far, sent up, or with zeros; backward accumulates onto it, and
///         what has become of it goes down and takes the place of the lane's. So the additions of a lane are those that
///         a card would make which had all of the sums: the same bits.
/// Memory  On the card only of segments in flight: the one that is computed, the one that comes, and that which goes
///         down, where memory suffices for it too; besides the first, for the whole pass, where the gradient of a tied
///         head goes to it before all others. In host memory pinned room for two segments that go down and, where lanes
///         have several micro-batches, one that comes up; it is kept until this object ends.
/// Queues  While a segment is computed, the one before it goes down and the next one comes up. The host waits where it
///         uses that room again, and at the end of a step.
#pragma once

#include "base/context.hpp"
#include "base/device.hpp"
#include "engine/arena/card_arena.hpp"
#include "engine/models/inference_model.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

namespace troupe::engine {

class card_gradients {
public:
  card_gradients() = default;
  card_gradients(card_gradients&&) = delete;
  ~card_gradients() { give_back(); }

  /// `arrived(s)`: called once the step's lane has segment s, in the order of segment_done, and later than that by the
  /// same number of segments on all ranks; may be empty.
  void begin_step(std::function<void(int64_t)> arrived);

  /// For a step that computes: the arena onto which backward accumulates. The head's own segment is there at once; the
  /// others are when segment_done has been called for the segment behind them. What has become of them goes to `lane`,
  /// a whole arena of the host's.
  /// Errors  out_of_memory, device_failure.
  float* onto(context& ctx, const inference_model& net, float* lane);

  /// Segment s is complete: the last first, then all others in falling order.
  /// Errors  out_of_memory: for the next one but one. device_failure; those of `arrived`.
  void segment_done(context& ctx, int64_t s);

  /// Returns when the lane has all that was computed.
  /// Errors  device_failure; those of `arrived`.
  void end_step(context& ctx);

  /// The next step is the first of another lane.
  void end_lane() { lane_has_sum_ = false; }

  /// Drops what is there, and gives the card's memory back.
  void give_back();

private:
  struct leaving {
    int64_t segment = 0;
    std::optional<mark> down;  ///< none: nothing was computed
    size_t room = 0;           ///< in down_
  };

  float* at(int64_t s) const { return arena_ + plan_->segment(s).first; }
  int64_t bytes_of(int64_t s) const { return plan_->segment(s).size() * size_of(dtype::f32); }
  void bring(context& ctx, int64_t s);
  void enter(int64_t s);
  void send_down(int64_t s, std::byte* room);
  void take_oldest(context& ctx);
  void unmap_from(int64_t s);

  std::optional<shard_plan> plan_;  ///< of one rank: for its segments
  int64_t largest_bytes_ = 0;       ///< of them, as float32
  device* on_ = nullptr;
  float* arena_ = nullptr;  ///< addresses on the card

  float* lane_ = nullptr;
  bool lane_has_sum_ = false;
  std::function<void(int64_t)> arrived_;
  bool computes_ = false;                     ///< this step
  std::vector<std::optional<mark>> ready_S_;  ///< of segments that are there, in this step
  std::deque<leaving> leaving_;
  std::array<staging, 2> down_;
  size_t next_room_ = 0;
  staging up_;
  mark sent_up_ = 0;     ///< what up_ has is no longer read
  mark step_ended_ = 0;  ///< the last step that computed
};

}  // namespace troupe::engine
