/// Hosts under suspicion: one that has given cause is left out for a while, one that does so again and again for good.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace troupe::actors {

class host_records {
public:
  using clock = std::chrono::steady_clock;

  /// Returns what that means, for the ledger: "left out for 60 s", "left out for good".
  std::string suspect(const std::string& host, clock::time_point now);
  std::set<std::string> excluded(clock::time_point now) const;

private:
  struct record {
    int64_t strikes = 0;
    clock::time_point until;
  };
  std::map<std::string, record> records_;
};

}  // namespace troupe::actors
