#include "actors/supervisor/stop_requests.hpp"

#include <csignal>
#include <utility>

namespace troupe::actors {

using namespace std::chrono_literals;

/// One request may arrive twice: a batch script passes on what Slurm sends to each process of the job.
constexpr std::chrono::milliseconds one_and_the_same = 500ms;

stop_request stop_requests::note(int32_t signal, clock::time_point now) {
  const bool again = std::exchange(first_, first_ == 0 ? signal : first_) != 0;
  if (signal == SIGINT) {
    ++interrupts_;
    if (interrupts_ >= 3) {
      return stop_request::end_at_once;
    }
    if (again) {
      return stop_request::tell;
    }
  } else if (signal == SIGTERM) {
    if (terminated_ && now - *terminated_ > one_and_the_same) {
      return stop_request::end_at_once;
    }
    terminated_ = terminated_.value_or(now);
  }
  return again ? stop_request::repetition : stop_request::stop;
}

}  // namespace troupe::actors
