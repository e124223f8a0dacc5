/// What a run shows that is legal and almost surely not meant: it goes on, and says so.
#pragma once

#include "actors/protocol/messages.hpp"
#include "io/job/job.hpp"

#include <set>
#include <string>
#include <vector>

namespace troupe::actors {

/// Of a PPO iteration: all rewards are equal, or all answers were cut.
std::vector<std::string> doubts_of_iteration(const io::job& job, const statistics& values, int64_t sequences);

/// Of a reward model at the end of its phase: on the held-out pairs it is no better than guessing. Better is what
/// chance gives once in forty times: 1/2 + 2 sqrt(1/4 / pairs).
std::vector<std::string> doubts_of_reward_model(const statistics& values);

/// Says each once.
class doubtful {
public:
  /// Those of them that it has not been given before.
  std::vector<std::string> fresh(const std::vector<std::string>& doubts);

private:
  std::set<std::string> told_;
};

}  // namespace troupe::actors
