/// Preference pairs from scored samples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

/// Indices of two samples of one prompt.
struct preference {
  int64_t chosen = 0, rejected = 0;
};

/// Of each prompt the best and the worst sample (of equals the first), where their rewards differ by more than
/// `margin`. Samples of one prompt are neighbours: prompt_M[i] names the prompt of sample i. In the order of the
/// prompts.
/// Errors  shape_mismatch.
std::vector<preference> choose_preferences(std::span<const uint64_t> prompt_M, std::span<const float> reward_M,
                                           double margin);

}  // namespace troupe::engine
