#include "io/job/replayed_options.hpp"

#include "io/job/options.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace troupe::io {

namespace {

/// Of an option that influences numbers: whether it acts before an experience file is written. What a rollout becomes
/// and what is learned from it is [ppo]'s, and the weights of [rewards.*].
bool needs_samples(const option& row) {
  constexpr std::array sampling = {"prompts", "samples-per-prompt"};
  if (row.section == "ppo") {
    return std::find(sampling.begin(), sampling.end(), row.key) != sampling.end();
  }
  if (row.section == "rewards.*") {
    return row.key != "weight";
  }
  // [run]'s seed and lanes: in which order one learns, and how gradients are summed. [experience]: what is mixed in.
  return row.section != "run" && row.section != "experience";
}

/// Options of other phases than ppo.
bool is_of_ppo(const option& row) {
  constexpr std::array others = {"sft", "reward", "pairs", "replay", "evaluation"};
  return row.numbers && std::find(others.begin(), others.end(), row.section) == others.end();
}

struct value_of_option {
  const option* row = nullptr;
  std::string text;
};

/// By full name.
std::map<std::string, value_of_option> values_of(const job& of) {
  std::map<std::string, value_of_option> values;
  visit_job(of, [&](const option& row, const std::string& name, const field& value) {
    if (is_of_ppo(row)) {
      values[row.full_name(name)] = {&row, compared_text(row, value)};
    }
  });
  return values;
}

}  // namespace

std::vector<option_change> replay_changes(const job& live, const job& replay) {
  const std::map<std::string, value_of_option> before = values_of(live);
  const std::map<std::string, value_of_option> now = values_of(replay);
  std::vector<option_change> changes;
  for (const auto& [name, value] : before) {
    const auto found = now.find(name);
    const std::string text = found != now.end() ? found->second.text : "absent";
    if (text != value.text) {
      changes.push_back({name, value.text, text, needs_samples(*value.row)});
    }
  }
  for (const auto& [name, value] : now) {
    if (!before.contains(name)) {
      changes.push_back({name, "absent", value.text, needs_samples(*value.row)});
    }
  }
  return changes;
}

}  // namespace troupe::io
