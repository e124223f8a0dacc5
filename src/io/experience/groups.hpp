/// What is learned from stored answers: the best of each prompt's samples, all of them by their advantage, or pairs of
/// them. A group is the samples of one prompt in one iteration.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace troupe::io {

/// Samples i of M: `group_M` names the prompt of each, whose samples need not be neighbours; `score_M` is its reward,
/// NaN where it could not be had.
struct scored_samples {
  std::span<const uint64_t> group_M;
  std::span<const float> score_M;
};

/// What is wrong with a group whose first sample's prompt is `first`, and another's `prompt`: "has 3 tokens, not 4",
/// "has 7 as token 1 (from 0), not 9". Empty: the prompts are one.
std::string prompt_difference(std::span<const int32_t> prompt, std::span<const int32_t> first);

// Pairs.

struct sample_pair {
  int64_t chosen = 0, rejected = 0;  ///< indices of samples of one group
  bool operator==(const sample_pair&) const = default;
};

struct pair_rules {
  int64_t per_group = 1;  ///< at most; 0: every pair
  double margin = 0;      ///< rewards of a pair differ by more: equal ones never make a pair
};

/// The pairs of each group that differ most, the widest first (of equal ones that whose samples come first): with
/// per_group 1 its best sample against its worst. In the order in which the groups begin. Samples without a score are
/// in no pair.
/// Errors  shape_mismatch.
std::vector<sample_pair> choose_pairs(const scored_samples& samples, const pair_rules& rules);

// Answers.

struct chosen_sample {
  int64_t sample = 0;
  double weight = 1;  ///< of its loss
  bool operator==(const chosen_sample&) const = default;
};

struct sample_rules {
  int64_t best = 0;  ///< of each group, so many of the highest score (of equals the first); 0: all
  double min_score = -std::numeric_limits<double>::infinity();
  double temperature = 0;  ///< tau of the weights below; 0: all weigh 1

  /// Whether a sample without a score can take part.
  bool needs_scores() const {
    return best > 0 || min_score > -std::numeric_limits<double>::infinity() || temperature > 0;
  }
};

/// The largest weight that an answer can get.
inline constexpr double most_advantage_weight = 20;

/// Best-of-n, or reward-weighted: ascending. With a temperature the weight is
///   min(exp(A / tau), most_advantage_weight),   A = score - mean score of the group,
/// which is exactly 1 for an infinite tau. Samples without a score take part only where no rule needs one.
/// Source  best-of-n, RAFT: Dong et al., arXiv:2304.06767; weights: Peng et al., arXiv:1910.00177 (AWR), equation 5 and
///         section 5, with the group's mean for the value.
/// Errors  shape_mismatch.
std::vector<chosen_sample> choose_samples(const scored_samples& samples, const sample_rules& rules);

}  // namespace troupe::io
