/// What the ranks of an attempt have told of themselves. Plain data, fed with what comes and the time at which it came.
#pragma once

#include "actors/protocol/messages.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace troupe::actors {

/// An actor in the midst of an operation.
struct standstill {
  int64_t rank = 0;
  std::string actor, operation;
  bool waits = false;  ///< for other ranks
  double seconds = 0;  ///< since it has last got on
};

/// The ranks of one attempt: who has reported, who shows signs of life, who makes progress.
class rank_watch {
public:
  using clock = std::chrono::steady_clock;

  struct rank {
    caf::strong_actor_ptr stage;  ///< null: has not reported yet
    std::string host;             ///< as the rank calls it, which need not be Slurm's name (host_of in launcher.hpp)
    int64_t pid = 0;
    clock::time_point last_sign;
    std::vector<activity> busy;                              ///< as it last said
    std::map<std::string, clock::time_point> last_progress;  ///< of the actors that are busy
    std::optional<clock::time_point> idle_since;             ///< none: an actor is busy, or it has not reported
  };

  /// A new attempt begins.
  void begin(int64_t ranks, clock::time_point now);

  /// Errors  unsupported: it is of another version. bad_argument: no such rank, it has reported already, or it believes
  ///         in another number of ranks.
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

  struct silence {
    int64_t rank = 0;
    double seconds = 0;
  };
  /// The rank that has shown no sign of life for longest, of those that have reported.
  silence longest_silence(clock::time_point now) const;
  std::vector<int64_t> silent(double seconds, clock::time_point now) const;  ///< ranks that have been for so long

  /// An actor that has stood still for longer than `limit`, in seconds; none: all get on. Where others wait for its
  /// rank they stand still too, so that one which waits for nobody is named before those that do, and so is a rank
  /// which has nothing to do at all (with no actor).
  std::optional<standstill> find_hang(double limit, clock::time_point now) const;

  /// For how many seconds all ranks have had nothing to do. None: one has, or has not reported.
  std::optional<double> all_idle(clock::time_point now) const;

  /// What a rank was doing: of its actors the one that waits for nobody, or else any, for longest. None: nothing.
  std::optional<standstill> last_of(int64_t rank, clock::time_point now) const;

private:
  std::vector<standstill> activities_of(int64_t rank, clock::time_point now) const;

  std::vector<rank> ranks_;
  int64_t reported_ = 0;
  std::optional<clock::time_point> first_report_;
};

}  // namespace troupe::actors
