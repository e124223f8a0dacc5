#include "actors/restart_policy.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds first_pause = 250ms;
constexpr std::chrono::milliseconds longest_pause = 10s;

void restart_policy::note_failure(bool launched) {
  ++failures_;
  failed_launches_ = launched ? 0 : failed_launches_ + 1;
}

std::string restart_policy::parting_words(const std::string& last, const std::set<std::string>& hosts) const {
  const std::string where =
      hosts.size() < 2 ? "" : fmt::format(", on {} alike, so that no host is to blame", fmt::join(hosts, ", "));
  return fmt::format(
      "the worker failed {} times without a new checkpoint{}, last: {}. The run can be resumed from its last "
      "checkpoint once the cause is found (recovery.restarts = {})",
      failures_, where, last, restarts_);
}

std::chrono::milliseconds restart_policy::pause() const {
  if (failed_launches_ == 0) {
    return 0ms;
  }
  return failed_launches_ == 1 ? first_pause
                               : std::min<std::chrono::milliseconds>(failed_launches_ * 1s, longest_pause);
}

}  // namespace troupe::actors
