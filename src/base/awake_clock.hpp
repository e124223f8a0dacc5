/// Time in which this process was running. It may stand still for long: stopped by Ctrl-Z or a debugger, suspended with
/// its machine. A deadline for others must not run meanwhile: they may have stood still with it, and what they have
/// said since lies unread.
#pragma once

#include <chrono>

namespace troupe {

class awake_clock {
public:
  using clock = std::chrono::steady_clock;

  /// `longest_nap`: at most so long is between two looks of a process that runs.
  explicit awake_clock(clock::duration longest_nap, clock::time_point begin = clock::now())
      : longest_nap_(longest_nap), last_look_(begin) {}

  /// The time, less all that was missed. To be asked often: where the last look is longer ago than a nap, the process
  /// has stood still since.
  clock::time_point now(clock::time_point real = clock::now()) {
    const clock::duration since = real - last_look_;
    if (since > longest_nap_) {
      missed_ += since;
    }
    last_look_ = real;
    return real - missed_;
  }

private:
  clock::duration longest_nap_;
  clock::time_point last_look_;
  clock::duration missed_{};
};

}  // namespace troupe
