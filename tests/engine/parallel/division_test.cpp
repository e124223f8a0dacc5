#include "base/error.hpp"
#include "engine/parallel/division.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace troupe::engine {

static std::vector<int64_t> loads(const std::vector<int64_t>& tokens, const std::vector<int>& rank_of, int ranks) {
  std::vector<int64_t> load(static_cast<size_t>(ranks));
  for (size_t i = 0; i < tokens.size(); ++i) {
    load[static_cast<size_t>(rank_of[i])] += tokens[i];
  }
  return load;
}

TEST(DivisionTest, EveryItemHasARankAndNoRankIsFarAboveItsShare) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    const int ranks = 1 + static_cast<int>(random() % 7);
    std::vector<int64_t> tokens(random() % 40);
    for (int64_t& one : tokens) {
      one = 1 + static_cast<int64_t>(random() % 500);
    }
    const std::vector<int> rank_of = divide_by_tokens(tokens, ranks);
    ASSERT_EQ(rank_of.size(), tokens.size());
    const auto load = loads(tokens, rank_of, ranks);
    const int64_t total = std::accumulate(tokens.begin(), tokens.end(), int64_t{0});
    const int64_t largest = tokens.empty() ? 0 : *std::max_element(tokens.begin(), tokens.end());
    // When the fullest rank got its last item it had the least of all, that is at most an even share.
    EXPECT_LE(*std::max_element(load.begin(), load.end()), total / ranks + largest);
  }
}

TEST(DivisionTest, LongItemsAreSpreadBeforeShortOnes) {
  EXPECT_EQ(divide_by_tokens(std::vector<int64_t>{1, 1, 10, 1, 10}, 2), (std::vector<int>{0, 1, 0, 0, 1}));
}

TEST(DivisionTest, WorkThatComesLittleByLittleGoesToWhoHasHadTheLeast) {
  token_shares shares(3);
  std::vector<int> rank_of;
  for (const int64_t tokens : {5, 1, 3, 1, 1, 4}) {
    rank_of.push_back(shares.take(tokens));
  }
  EXPECT_EQ(rank_of, (std::vector<int>{0, 1, 2, 1, 1, 1}));
}

TEST(DivisionTest, NoRanksIsRefused) {
  EXPECT_THROW(divide_by_tokens({}, 0), error);
  EXPECT_THROW(token_shares(0), error);
}

}  // namespace troupe::engine
