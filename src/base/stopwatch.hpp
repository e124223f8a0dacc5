/// Time as plain seconds: for deadlines, records and texts.
#pragma once

#include <chrono>

namespace troupe {

inline double seconds(std::chrono::steady_clock::duration time) { return std::chrono::duration<double>(time).count(); }

/// Seconds since it was made.
class stopwatch {
public:
  double seconds() const { return troupe::seconds(std::chrono::steady_clock::now() - start_); }

private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace troupe
