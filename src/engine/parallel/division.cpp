#include "engine/parallel/division.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <numeric>

namespace troupe::engine {

token_shares::token_shares(int ranks) {
  if (ranks < 1) {
    throw error(errc::bad_argument, "work cannot be divided among {} ranks", ranks);
  }
  load_R_.resize(static_cast<size_t>(ranks));
}

int token_shares::take(int64_t tokens) {
  const auto least = std::min_element(load_R_.begin(), load_R_.end());
  *least += tokens;
  return static_cast<int>(least - load_R_.begin());
}

std::vector<int> divide_by_tokens(std::span<const int64_t> tokens, int ranks) {
  std::vector<size_t> largest_first(tokens.size());
  std::iota(largest_first.begin(), largest_first.end(), size_t{0});
  std::stable_sort(largest_first.begin(), largest_first.end(),
                   [&](size_t a, size_t b) { return tokens[a] > tokens[b]; });
  token_shares shares(ranks);
  std::vector<int> rank_of(tokens.size());
  for (const size_t item : largest_first) {
    rank_of[item] = shares.take(tokens[item]);
  }
  return rank_of;
}

}  // namespace troupe::engine
