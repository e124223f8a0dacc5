/// Packed sequences for training and scoring, and how an update is divided into micro-batches.
#pragma once

#include "engine/models/token_batch.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

/// B sequences end to end. prompt_length_B tells where each answer starts (1: every token but the
/// first is answer).
struct packed_batch {
  std::vector<int32_t> token_N;
  std::vector<int64_t> offset_B1 = {0};
  std::vector<int64_t> prompt_length_B;
  std::vector<int32_t> position_N;  ///< empty: each sequence counts from 0
  std::vector<double> weight_B;     ///< of a sequence's language-model loss; empty: all are 1

  void add(std::span<const int32_t> tokens, int64_t prompt_length);
  /// A sequence in two pieces; `prompt_length` is not `prompt`'s where other tokens than the answer's are learned.
  void add(std::span<const int32_t> prompt, std::span<const int32_t> answer, int64_t prompt_length);
  void add(std::span<const int32_t> prompt, std::span<const int32_t> answer) {
    add(prompt, answer, static_cast<int64_t>(prompt.size()));
  }
  int64_t tokens() const { return static_cast<int64_t>(token_N.size()); }
  int64_t sequences() const { return static_cast<int64_t>(prompt_length_B.size()); }
  token_batch view() const { return {token_N, offset_B1, position_N}; }
};

/// Groups items 0..n-1 (sequences; for a reward model, pairs) into runs [first, last), in order, of at most
/// `token_budget` tokens or one item each. Their number is the least multiple of `shares` that the budget allows, or
/// a little less, and the largest is as small as so many can be: who takes every shares-th of them then has about as
/// many tokens as the others. A function of its arguments alone.
/// Errors  bad_argument: token_budget < 1 or shares < 1.
struct item_run {
  int64_t first = 0, last = 0;
};
std::vector<item_run> form_micro_batches(std::span<const int64_t> item_tokens, int64_t token_budget, int64_t shares);

}  // namespace troupe::engine
