/// Lengths in tokens, as a reader of many sees them.
#pragma once

#include <cstdint>
#include <vector>

namespace troupe {

/// The upper one of two in the middle. There is at least one.
int64_t median_of(std::vector<int64_t> lengths);

/// Bins of equal, round width. Empty: there are none.
struct length_bin {
  int64_t low = 0, high = 0;  ///< both within
  int64_t count = 0;
};
std::vector<length_bin> histogram(const std::vector<int64_t>& lengths);

}  // namespace troupe
