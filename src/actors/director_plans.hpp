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

/// Means of statistics that several updates reported.
class mean_of_updates {
 public:
  void add(const statistics& one) {
    for (const auto& [name, value] : one) {
      auto& [sum, count] = sums_[name];
      sum += value;
      ++count;
    }
  }
  statistics means() const {
    statistics out;
    for (const auto& [name, entry] : sums_) {
      out[name] = entry.first / static_cast<double>(entry.second);
    }
    return out;
  }

 private:
  std::map<std::string, std::pair<double, int64_t>> sums_;
};

inline double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0.0; }

}  // namespace troupe::actors
