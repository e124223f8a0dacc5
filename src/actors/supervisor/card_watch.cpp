#include "actors/supervisor/card_watch.hpp"

namespace troupe::actors {

constexpr int64_t failures_to_be_left_out = 2;

bool card_watch::is_doubtful(const std::string& host, int64_t number) const {
  const auto of_host = doubtful_.find(host);
  return of_host != doubtful_.end() && of_host->second.contains(number);
}

int64_t card_watch::note(const std::string& host, int64_t number) {
  const int64_t failures = ++failures_[{host, number}];
  if (failures >= failures_to_be_left_out) {
    doubtful_[host].insert(number);
  }
  places_.insert(card_set_text({{host, {number}}}));
  return failures;
}

}  // namespace troupe::actors
