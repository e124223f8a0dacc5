#include "engine/train/batch.hpp"

#include "base/error.hpp"
#include "base/round_up.hpp"

namespace troupe::engine {

void packed_batch::add(std::span<const int32_t> tokens, int64_t prompt_length) { add(tokens, {}, prompt_length); }

void packed_batch::add(std::span<const int32_t> prompt, std::span<const int32_t> answer, int64_t prompt_length) {
  token_N.insert(token_N.end(), prompt.begin(), prompt.end());
  token_N.insert(token_N.end(), answer.begin(), answer.end());
  offset_B1.push_back(static_cast<int64_t>(token_N.size()));
  prompt_length_B.push_back(prompt_length);
}

/// In order, as many items into each run as fit.
static std::vector<item_run> fill_runs(std::span<const int64_t> item_tokens, int64_t token_budget) {
  std::vector<item_run> runs;
  int64_t tokens = 0;
  for (size_t i = 0; i < item_tokens.size(); ++i) {
    if (runs.empty() || tokens + item_tokens[i] > token_budget) {
      runs.push_back({static_cast<int64_t>(i), static_cast<int64_t>(i)});
      tokens = 0;
    }
    tokens += item_tokens[i];
    ++runs.back().last;
  }
  return runs;
}

std::vector<item_run> form_micro_batches(std::span<const int64_t> item_tokens, int64_t token_budget, int64_t shares) {
  if (token_budget < 1 || shares < 1) {
    throw error(errc::bad_argument, "micro-batches of {} tokens for {} shares: at least 1 of each", token_budget,
                shares);
  }
  const auto fewest = static_cast<int64_t>(fill_runs(item_tokens, token_budget).size());
  const int64_t most = round_up(fewest, shares);
  // A smaller budget gives no fewer runs, so the least that gives no more than `most` of them is found by halving.
  int64_t too_little = 0;
  int64_t enough = token_budget;
  while (most > fewest && enough - too_little > 1) {
    const int64_t budget = too_little + (enough - too_little) / 2;
    const bool fits = static_cast<int64_t>(fill_runs(item_tokens, budget).size()) <= most;
    (fits ? enough : too_little) = budget;
  }
  return fill_runs(item_tokens, enough);
}

}  // namespace troupe::engine
