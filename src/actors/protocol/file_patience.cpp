#include "actors/protocol/file_patience.hpp"

#include "base/error.hpp"
#include "base/stopwatch.hpp"

#include <spdlog/spdlog.h>

#include <thread>

namespace troupe::actors {

void file_patience::persist(const std::function<void()>& step) {
  for (bool told = false;; told = true) {
    try {
      step();
      failing_since_.reset();
      return;
    } catch (const error& failure) {
      if (failure.code() != errc::io_failure || is_over(clock::now())) {
        throw;
      }
      if (!told) {
        spdlog::warn("{}; trying again, for {:.0f} s at most", failure.what(), seconds(in_all_));
      }
    }
    std::this_thread::sleep_for(between_tries_);
  }
}

bool file_patience::is_over(clock::time_point now) {
  failing_since_ = failing_since_.value_or(now);
  return now - *failing_since_ >= in_all_;
}

}  // namespace troupe::actors
