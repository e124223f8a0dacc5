/// What the user's signals mean, one after the other: the first asks for a stop at the next boundary, and whoever
/// insists ends the run at once. Known in one place, since two ask: the supervisor, and who ends the process where that
/// one stands still (stop_signals.hpp).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace troupe::actors {

enum class stop_request {
  stop,         ///< the first signal: at the next boundary
  tell,         ///< SIGINT again: say what is being waited for
  end_at_once,  ///< SIGINT for the third time, or SIGTERM once more
  repetition,   ///< nothing new
};

class stop_requests {
public:
  using clock = std::chrono::steady_clock;

  stop_request note(int32_t signal, clock::time_point now);
  /// The first one's number; 0: none has come.
  int32_t first() const { return first_; }

private:
  int32_t first_ = 0;
  int64_t interrupts_ = 0;
  std::optional<clock::time_point> terminated_;  ///< by the first SIGTERM
};

}  // namespace troupe::actors
