#include "io/run/starting_folders.hpp"

#include <string>

namespace troupe::io {

static std::filesystem::path or_else(const std::string& option, const std::filesystem::path& fallback) {
  return option.empty() ? fallback : std::filesystem::path(option);
}

starting_folders starting_folders_of(const job& j, const run_directory* run) {
  const std::filesystem::path policy = j.model.policy;
  starting_folders from;
  from.policy = run != nullptr && j.has(phase::sft) ? run->model("sft") : policy;
  from.reference = or_else(j.model.reference, from.policy);
  from.trunk = or_else(j.model.reward, policy);
  from.reward = run != nullptr && j.has(phase::reward) ? run->model("reward") : from.trunk;
  const bool has_reward = j.has(phase::reward) || !j.model.reward.empty();
  from.critic = or_else(j.model.critic, has_reward ? from.reward : from.policy);
  return from;
}

}  // namespace troupe::io
