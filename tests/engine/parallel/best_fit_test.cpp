#include "engine/parallel/best_fit.hpp"

#include <gtest/gtest.h>

namespace troupe::engine {

static std::optional<int64_t> taken(std::vector<int64_t>& free, int64_t bytes) {
  return take_best_fit(free, bytes, [](int64_t one) { return one; });
}

TEST(BestFit, IsTheSmallestThatIsLargeEnough) {
  std::vector<int64_t> free{9, 3, 5, 7};
  EXPECT_EQ(taken(free, 4), 5);
  EXPECT_EQ(taken(free, 4), 7);
  EXPECT_EQ(free, (std::vector<int64_t>{9, 3}));
}

TEST(BestFit, IsElseTheLargest) {
  std::vector<int64_t> free{3, 9, 5};
  EXPECT_EQ(taken(free, 10), 9);
  EXPECT_EQ(free, (std::vector<int64_t>{3, 5}));
}

TEST(BestFit, IsNoneWhereThereIsNone) {
  std::vector<int64_t> free;
  EXPECT_EQ(taken(free, 1), std::nullopt);
}

}  // namespace troupe::engine
