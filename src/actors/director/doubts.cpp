#include "actors/director/doubts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace troupe::actors {

std::vector<std::string> doubts_of_iteration(const io::job& job, const statistics& values, int64_t sequences) {
  std::vector<std::string> doubts;
  if (sequences < 2) {
    return doubts;
  }
  if (values.contains("reward/raw_std") && statistic(values, "reward/raw_std") == 0) {
    doubts.push_back(fmt::format(
        "all {} answers of an iteration have the same reward: nothing can be learned from it. Look at them in "
        "experience/, and at what [rewards] asks of an answer",
        sequences));
  }
  if (statistic(values, "answer/unfinished_share") == 1) {
    doubts.push_back(fmt::format("all {} answers of an iteration were cut at their longest (generation.max-new-tokens "
                                 "= {}): raise it, or teach the "
                                 "model to come to an end (sft, ppo.missing-end-penalty, generation.stop)",
                                 sequences, job.generation.max_new_tokens));
  }
  return doubts;
}

std::vector<std::string> doubts_of_reward_model(const statistics& values) {
  const double pairs = statistic(values, "held_out/pairs");
  const double accuracy = statistic(values, "held_out/accuracy");
  if (!values.contains("held_out/accuracy") || pairs < 1 || accuracy > 0.5 + 2 * std::sqrt(0.25 / pairs)) {
    return {};
  }
  return {
      fmt::format("the reward model prefers the chosen answer in {:.1f} % of {:.0f} held-out pairs: not surely better "
                  "than guessing. PPO would learn from noise: look at the pairs (`troupe data`), raise "
                  "reward.learning-rate or the number of updates, or hold out more pairs (split.held-out)",
                  100 * accuracy, pairs)};
}

std::vector<std::string> doubtful::fresh(const std::vector<std::string>& doubts) {
  std::vector<std::string> untold;
  std::copy_if(doubts.begin(), doubts.end(), std::back_inserter(untold),
               [this](const std::string& doubt) { return told_.insert(doubt).second; });
  return untold;
}

}  // namespace troupe::actors
