/// INTERNAL to the director's sources: small things that its plans share.
#pragma once

#include "actors/director/director.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace troupe::actors {

struct director_state::supervised_plan {
  std::string phase;
  io::training_options training;
  caf::strong_actor_ptr cast::*trainee;
  caf::strong_actor_ptr cast::*optimizer;
};

/// For checkpoints: before none in particular.
inline constexpr uint64_t any_counter = std::numeric_limits<int64_t>::max();

/// Copies every statistic of `from` into `to`.
inline void merge(statistics& to, const statistics& from) {
  for (const auto& [name, value] : from) {
    to[name] = value;
  }
}

/// Statistics of several updates as one record: means; but sums of seconds (time/...), and the largest of maxima
/// (..._max).
class updates_of_iteration {
public:
  void add(const statistics& one) {
    for (const auto& [name, value] : one) {
      entry& of = entries_[name];
      of.sum += value;
      of.largest = of.count == 0 ? value : std::max(of.largest, value);
      ++of.count;
    }
  }
  statistics combined() const {
    statistics out;
    for (const auto& [name, of] : entries_) {
      out[name] = name.starts_with("time/") ? of.sum
                  : name.ends_with("_max")  ? of.largest
                                            : of.sum / static_cast<double>(of.count);
    }
    return out;
  }

private:
  struct entry {
    double sum = 0, largest = 0;
    int64_t count = 0;
  };
  std::map<std::string, entry> entries_;
};

/// What ranks that worked side by side say together. Statistics are already those of all ranks, the same at each.
inline train_reply together(const std::vector<train_reply>& by_rank) {
  train_reply all = by_rank.front();
  all.tokens = 0;
  for (const train_reply& one : by_rank) {
    all.tokens += one.tokens;
    all.seconds = std::max(all.seconds, one.seconds);
  }
  return all;
}

inline step_reply together(const std::vector<step_reply>& by_rank) {
  step_reply all = by_rank.front();
  all.sent_bytes = 0;
  all.communication_s = all.communication_wait_s = 0;
  for (const step_reply& one : by_rank) {
    all.seconds = std::max(all.seconds, one.seconds);
    all.sent_bytes += one.sent_bytes;
    all.communication_s += one.communication_s;
    all.communication_wait_s += one.communication_wait_s;
  }
  return all;
}

/// What a model's ranks sent each other for an update, all ranks' added up, under names that comparisons of runs leave
/// out.
inline void add_communication(statistics& to, const std::string& model, const step_reply& stepped) {
  if (stepped.sent_bytes == 0) {
    return;  // one rank alone
  }
  to["rate/" + model + "_communicated_bytes"] = static_cast<double>(stepped.sent_bytes);
  to["time/" + model + "_communication_s"] = stepped.communication_s;
  to["time/" + model + "_communication_wait_s"] = stepped.communication_wait_s;
}

inline double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0.0; }

}  // namespace troupe::actors
