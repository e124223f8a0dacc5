/// What the ranks of an attempt have told of themselves. Plain data, fed with what comes and the time at which it came.
#pragma once

#include "actors/messages.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe::actors {

/// The ranks of one attempt: who has reported, who shows signs of life, who makes progress.
class rank_watch {
public:
  using clock = std::chrono::steady_clock;

  struct rank {
    caf::strong_actor_ptr stage;  ///< null: has not reported yet
    std::string host;
    int64_t pid = 0;
    uint64_t pulse = 0;
    std::string operation = "start";
    clock::time_point last_sign, last_progress;
  };

  /// A new attempt begins.
  void begin(int64_t ranks, clock::time_point now);

  /// Errors  unsupported: it is of another version. bad_argument: no such rank, it has reported already, or it believes in another number of ranks.
  void welcome(const hello& words, clock::time_point now);
  void note(const beat& sign, clock::time_point now);

  int64_t size() const { return static_cast<int64_t>(ranks_.size()); }
  const rank& operator[](int64_t r) const { return ranks_[static_cast<size_t>(r)]; }
  bool complete() const { return reported_ == size(); }
  /// When the first rank reported; none: not yet.
  std::optional<clock::time_point> first_report() const { return first_report_; }
  std::vector<int64_t> unheard() const;  ///< ranks that have not reported

  /// The rank whose stage this is.
  std::optional<int64_t> rank_of(const caf::actor_addr& stage) const;

  struct delay {
    int64_t rank = 0;
    double seconds = 0;
  };
  /// The rank that has shown no sign of life for longest, and the one that has stood still for longest. Only ranks that
  /// have reported.
  delay longest_silence(clock::time_point now) const;
  std::set<std::string> silent_hosts(double seconds, clock::time_point now) const;  ///< with a rank silent for so long
  delay longest_standstill(clock::time_point now) const;

private:
  std::vector<rank> ranks_;
  int64_t reported_ = 0;
  std::optional<clock::time_point> first_report_;
};

}  // namespace troupe::actors
