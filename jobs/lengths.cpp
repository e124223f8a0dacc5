#include "jobs/lengths.hpp"

#include <algorithm>

namespace troupe {

int64_t median_of(std::vector<int64_t> lengths) {
  const auto middle = lengths.begin() + static_cast<int64_t>(lengths.size() / 2);
  std::nth_element(lengths.begin(), middle, lengths.end());
  return *middle;
}

/// 1, 2 or 5 times a power of ten: so that about ten bins hold all.
static int64_t round_width(int64_t range) {
  constexpr int64_t most_bins = 10;
  for (int64_t power = 1;; power *= 10) {
    for (const int64_t digit : {1, 2, 5}) {
      if (range <= power * digit * most_bins) {
        return power * digit;
      }
    }
  }
}

std::vector<length_bin> histogram(const std::vector<int64_t>& lengths) {
  if (lengths.empty()) {
    return {};
  }
  const auto [least, most] = std::minmax_element(lengths.begin(), lengths.end());
  const int64_t width = round_width(*most - *least + 1);
  const int64_t first = *least / width;
  std::vector<length_bin> bins(static_cast<size_t>(*most / width - first + 1));
  for (size_t i = 0; i < bins.size(); ++i) {
    bins[i].low = (first + static_cast<int64_t>(i)) * width;
    bins[i].high = bins[i].low + width - 1;
  }
  for (const int64_t length : lengths) {
    ++bins[static_cast<size_t>(length / width - first)].count;
  }
  return bins;
}

}  // namespace troupe
