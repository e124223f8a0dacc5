/// The queues of an emulated card: their work is done at once, or kept until it is waited for, each queue's in its
/// order. That of the wire queue has a thread of its own, since it may wait for other cards.
#pragma once

#include "base/device.hpp"

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace troupe::emulation {

class work_queues {
public:
  using work = std::function<void()>;

  /// `late`: by queue, whether its work is kept; the wire queue's never is.
  explicit work_queues(const std::array<bool, 4>& late);
  ~work_queues();
  work_queues(const work_queues&) = delete;
  work_queues& operator=(const work_queues&) = delete;

  void add(queue in, work what);
  mark record(queue in);
  void await(queue in, mark moment);
  bool passed(mark moment);
  void finish(mark moment);
  void finish_all();

private:
  struct item {
    work what;
    mark awaited = 0;  ///< where there is no work
  };
  struct line {
    bool late = false;
    uint64_t called = 0, done = 0;
    std::deque<item> waiting;
  };
  using held = std::unique_lock<std::mutex>;

  line& line_of(queue in) { return lines_[static_cast<size_t>(in)]; }
  line& line_of(mark moment) { return lines_[moment % lines_.size()]; }
  void push(queue in, item what);
  void do_until(held& lock, line& of, uint64_t call);
  bool do_first(held& lock, line& of);
  void do_wire_work();

  std::mutex mutex_;  ///< held by whoever does a queue's work, but for the wire's
  std::condition_variable changed_;
  std::array<line, 4> lines_;
  bool stopping_ = false;
  std::thread wire_;  ///< from the first work of the wire queue on
};

}  // namespace troupe::emulation
