#include "engine/parallel/division.hpp"

#include "kernels/base/error.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::engine {

std::vector<int> divide_by_tokens(std::span<const int64_t> tokens, int ranks) {
  if (ranks < 1) {
    throw error(errc::bad_argument, "work cannot be divided among {} ranks", ranks);
  }
  std::vector<size_t> largest_first(tokens.size());
  std::iota(largest_first.begin(), largest_first.end(), size_t{0});
  std::stable_sort(largest_first.begin(), largest_first.end(),
                   [&](size_t a, size_t b) { return tokens[a] > tokens[b]; });
  std::vector<int64_t> load(static_cast<size_t>(ranks));
  std::vector<int> rank_of(tokens.size());
  for (const size_t item : largest_first) {
    const auto least = std::min_element(load.begin(), load.end());
    *least += tokens[item];
    rank_of[item] = static_cast<int>(least - load.begin());
  }
  return rank_of;
}

}  // namespace troupe::engine
