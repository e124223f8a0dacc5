#include "engine/train/batch.hpp"

#include "kernels/base/error.hpp"

namespace troupe::engine {

void packed_batch::add(std::span<const int32_t> tokens, int64_t prompt_length) { add(tokens, {}, prompt_length); }

void packed_batch::add(std::span<const int32_t> prompt, std::span<const int32_t> answer, int64_t prompt_length) {
  token_N.insert(token_N.end(), prompt.begin(), prompt.end());
  token_N.insert(token_N.end(), answer.begin(), answer.end());
  offset_B1.push_back(static_cast<int64_t>(token_N.size()));
  prompt_length_B.push_back(prompt_length);
}

std::vector<item_run> form_micro_batches(std::span<const int64_t> item_tokens, int64_t token_budget) {
  if (token_budget < 1) {
    throw error(errc::bad_argument, "micro-batches of {} tokens: at least 1", token_budget);
  }
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

}  // namespace troupe::engine
