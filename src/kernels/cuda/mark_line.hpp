/// The moments of one queue that may not have passed yet. They pass in their order.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

namespace troupe::kernels::cuda {

/// `Event` is what tells whether a moment has passed; one is used for many moments, one after the other.
template <class Event> class mark_line {
public:
  /// The number of a new moment, counted from 1.
  uint64_t add(Event event) {
    events_.push_back(event);
    return passed_ + events_.size();
  }

  /// The event of a moment; nothing: it has passed.
  std::optional<Event> find(uint64_t number) const {
    return number > passed_ ? std::optional(events_.at(number - passed_ - 1)) : std::nullopt;
  }

  /// Forgets the first moment if it has passed. Its event, to be used again.
  template <class HasPassed> std::optional<Event> take_passed(const HasPassed& has_passed) {
    if (events_.empty() || !has_passed(events_.front())) {
      return std::nullopt;
    }
    const Event event = events_.front();
    events_.pop_front();
    ++passed_;
    return event;
  }

  /// Forgets the first moment. Its event; nothing: there is none.
  std::optional<Event> take_first() {
    return take_passed([](const Event&) { return true; });
  }

private:
  uint64_t passed_ = 0;
  std::deque<Event> events_;  ///< of the moments after `passed_`
};

}  // namespace troupe::kernels::cuda
