/// What the replies of several ranks say as one, and how they become the numbers of a metrics record.
#pragma once

#include "actors/protocol/messages.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace troupe::actors {

/// The reply of a model that several ranks trained: tokens of all, seconds of the slowest. Statistics are those of all
/// ranks already, the same at each.
train_reply joined(const std::vector<train_reply>& by_rank);

/// The reply of a step that several ranks took: seconds of the slowest, communication of all.
step_reply joined(const std::vector<step_reply>& by_rank);

/// Copies every statistic of `from` into `to`.
void merge(statistics& to, const statistics& from);

/// The same numbers, each name after a prefix.
statistics with_prefix(const std::string& prefix, const statistics& values);

/// What a model's ranks sent each other for an update, under names that comparisons of runs leave out: bytes and
/// seconds of all ranks.
void add_communication(statistics& to, const std::string& model, const step_reply& stepped);

/// 0 where no time has passed.
double per_second(double amount, double seconds);

/// Statistics of several updates as those of one iteration: means; but sums of seconds (time/...), and the largest of
/// maxima (..._max).
class iteration_statistics {
public:
  void add(const statistics& of_update);
  statistics combined() const;

private:
  struct entry {
    double sum = 0, largest = 0;
    int64_t updates = 0;  ///< that have it
  };
  std::map<std::string, entry> entries_;
};

}  // namespace troupe::actors
