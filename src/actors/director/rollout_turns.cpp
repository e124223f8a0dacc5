#include "actors/director/rollout_turns.hpp"

#include <algorithm>

namespace troupe::actors {

std::vector<generate_command> next_turn(uint64_t batch_id, const std::vector<generate_reply>& last) {
  std::vector<generate_command> commands(last.size());
  std::vector<std::vector<uint64_t>> waiting(last.size());
  for (size_t g = 0; g < last.size(); ++g) {
    commands[g].batch_id = batch_id;
    commands[g].steps = steps_per_command;
    waiting[g] = last[g].waiting;
  }
  for (size_t idle = 0; idle < last.size(); ++idle) {
    if (last[idle].unfinished > 0) {
      continue;
    }
    const auto most = std::max_element(waiting.begin(), waiting.end(),
                                       [](const auto& a, const auto& b) { return a.size() < b.size(); });
    const auto donor = static_cast<size_t>(most - waiting.begin());
    for (size_t count = (most->size() + 1) / 2; count > 0; --count) {
      commands[idle].take.push_back(most->back());
      commands[donor].give.push_back(most->back());
      most->pop_back();
    }
  }
  return commands;
}

}  // namespace troupe::actors
