/// Who does what: work divided among ranks by its size in tokens.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

/// The rank of each item, so that ranks get about the same number of tokens: the largest item first, each to the rank
/// with the least so far (Graham's longest processing time first: at most 4/3 - 1/(3R) of the best division). A
/// function of the arguments alone; ties go to the earlier item and the lower rank.
/// Errors  bad_argument: ranks < 1.
std::vector<int> divide_by_tokens(std::span<const int64_t> tokens, int ranks);

/// The same for work that comes little by little: each piece goes to the rank that has had the least (list
/// scheduling: at most 2 - 1/R of the best division).
class token_shares {
public:
  /// Errors  bad_argument: ranks < 1.
  explicit token_shares(int ranks);
  /// The rank of the next piece; of ranks with equally little the lower.
  int take(int64_t tokens);

private:
  std::vector<int64_t> load_R_;
};

}  // namespace troupe::engine
