/// INTERNAL to the director's sources: small things that its plans share.
#pragma once

#include "actors/director.hpp"

#include <string>

namespace troupe::actors {

struct director_state::supervised_plan {
  std::string phase;
  io::training_options training;
  caf::strong_actor_ptr trainee, optimizer;
};

/// Copies every statistic of `from` into `to`.
inline void merge(statistics& to, const statistics& from) {
  for (const auto& [name, value] : from) {
    to[name] = value;
  }
}

/// Statistics of several updates as one record: means, but for seconds (time/...), which are sums.
class updates_of_iteration {
public:
  void add(const statistics& one) {
    for (const auto& [name, value] : one) {
      auto& [sum, count] = sums_[name];
      sum += value;
      ++count;
    }
  }
  statistics combined() const {
    statistics out;
    for (const auto& [name, entry] : sums_) {
      out[name] = name.starts_with("time/") ? entry.first : entry.first / static_cast<double>(entry.second);
    }
    return out;
  }

private:
  std::map<std::string, std::pair<double, int64_t>> sums_;
};

inline double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0.0; }

}  // namespace troupe::actors
