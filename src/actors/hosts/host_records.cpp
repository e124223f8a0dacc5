#include "actors/hosts/host_records.hpp"

#include <fmt/format.h>

namespace troupe::actors {

using namespace std::chrono_literals;

constexpr std::chrono::seconds suspension = 60s;
constexpr int64_t strikes_for_good = 3;

std::string host_records::suspect(const std::string& host, clock::time_point now) {
  record& one = records_[host];
  ++one.strikes;
  one.until = now + suspension;
  return one.strikes >= strikes_for_good ? "left out for good" : fmt::format("left out for {} s", suspension.count());
}

std::set<std::string> host_records::excluded(clock::time_point now) const {
  std::set<std::string> hosts;
  for (const auto& [host, one] : records_) {
    if (one.strikes >= strikes_for_good || now < one.until) {
      hosts.insert(host);
    }
  }
  return hosts;
}

}  // namespace troupe::actors
