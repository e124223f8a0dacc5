/// Bears with files that cannot be written for a moment: a disk is full until somebody makes room, a file server is
/// away.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

namespace troupe::actors {

class file_patience {
public:
  using clock = std::chrono::steady_clock;

  explicit file_patience(std::chrono::milliseconds in_all = std::chrono::seconds(20),
                         std::chrono::milliseconds between_tries = std::chrono::milliseconds(250))
      : in_all_(in_all), between_tries_(between_tries) {}

  /// Does `step`, and does it again while it fails with io_failure, but not when steps have failed for `in_all` without
  /// one that succeeded. A step that fails must leave nothing half done. Blocks its thread, as a slow disk would.
  /// Errors  those of the step.
  void persist(const std::function<void()>& step);

private:
  bool is_over(clock::time_point now);

  std::chrono::milliseconds in_all_, between_tries_;
  std::optional<clock::time_point> failing_since_;
};

}  // namespace troupe::actors
