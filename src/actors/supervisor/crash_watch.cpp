#include "actors/supervisor/crash_watch.hpp"

#include <utility>

namespace troupe::actors {

using namespace std::chrono_literals;

// Less than a launcher needs to end the other ranks once one is dead (10 ms and up).
constexpr auto at_once = 5ms;
constexpr int64_t crashes_without_progress = 2;
constexpr int64_t crashes_with_progress = 3;

void crash_watch::note_lost(const std::string& host, bool unforeseen, clock::time_point now) {
  if (dead_.empty()) {
    if (unforeseen) {
      dead_ = {host};
      died_ = now;
    }
  } else if (now - died_ <= at_once) {
    dead_.insert(host);
  }
}

void crash_watch::note_progress() {
  since_progress_ = 0;
  hosts_.clear();
}

std::optional<crash_watch::crash> crash_watch::conclude(clock::time_point now) {
  const std::set<std::string> dead = std::exchange(dead_, {});
  hosts_.insert(dead.begin(), dead.end());
  if (dead.size() != 1) {
    if (dead.size() > 1) {
      in_a_row_ = since_progress_ = 0;
    }
    return std::nullopt;
  }
  const std::string& host = *dead.begin();
  if (host != std::exchange(last_host_, host)) {
    in_a_row_ = since_progress_ = 0;
  }
  crash found{.host = host, .in_a_row = ++in_a_row_, .verdict = ""};
  if (++since_progress_ >= crashes_without_progress || in_a_row_ >= crashes_with_progress) {
    found.verdict = records_.suspect(host, now);
  }
  return found;
}

}  // namespace troupe::actors
