#include "engine/objectives/preference.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace troupe::engine {

std::vector<preference> choose_preferences(std::span<const uint64_t> prompt_M, std::span<const float> reward_M,
                                           double margin) {
  if (prompt_M.size() != reward_M.size()) {
    throw error(errc::shape_mismatch, "{} prompts of samples, {} rewards", prompt_M.size(), reward_M.size());
  }
  std::vector<preference> pairs;
  for (size_t first = 0; first < prompt_M.size();) {
    size_t last = first;
    while (last < prompt_M.size() && prompt_M[last] == prompt_M[first]) {
      ++last;
    }
    const auto samples = reward_M.subspan(first, last - first);
    const auto best = std::max_element(samples.begin(), samples.end()) - samples.begin();
    const auto worst = std::min_element(samples.begin(), samples.end()) - samples.begin();
    const double difference = static_cast<double>(samples[static_cast<size_t>(best)]) -
                              static_cast<double>(samples[static_cast<size_t>(worst)]);
    if (difference > margin) {
      pairs.push_back({.chosen = static_cast<int64_t>(first) + best, .rejected = static_cast<int64_t>(first) + worst});
    }
    first = last;
  }
  return pairs;
}

}  // namespace troupe::engine
