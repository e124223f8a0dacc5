#include "base/error.hpp"
#include "io/datasets/blend.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace troupe::io {

TEST(BlendTest, WeightOneShowsEachExampleOnceAnEpoch) {
  blend b(1, phase::sft, {{.size = 5}, {.size = 12}});
  ASSERT_EQ(b.epoch_size(), 17);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<std::pair<int64_t, int64_t>> seen;
    for (int64_t k = 0; k < 17; ++k) {
      const blend_pick pick = b.at(epoch * 17 + k);
      EXPECT_EQ(pick.epoch, epoch);
      EXPECT_TRUE(seen.emplace(pick.source, pick.index).second);
    }
    EXPECT_EQ(seen.size(), 17U);
  }
}

TEST(BlendTest, WeightsArePassesPerEpoch) {
  blend b(2, phase::reward, {{.size = 8, .weight = 0.5}, {.size = 4, .weight = 3}});
  ASSERT_EQ(b.epoch_size(), 4 + 12);
  std::map<std::pair<int64_t, int64_t>, int> count;
  for (int64_t k = 0; k < 2 * b.epoch_size(); ++k) {
    const blend_pick pick = b.at(k);
    ++count[{pick.source, pick.index}];
  }
  ASSERT_EQ(count.size(), 12U);
  for (const auto& [example, times] : count) {
    EXPECT_EQ(times, example.first == 0 ? 1 : 6);
  }
}

TEST(BlendTest, ThePickIsAFunctionOfTheCounterAlone) {
  blend forward(3, phase::ppo, {{.size = 30}, {.size = 7, .weight = 2}});
  std::vector<blend_pick> picks;
  for (int64_t k = 0; k < 150; ++k) {
    picks.push_back(forward.at(k));
  }
  blend other(3, phase::ppo, {{.size = 30}, {.size = 7, .weight = 2}});
  for (int64_t i = 0; i < 150; ++i) {
    const int64_t k = i * 89 % 150;
    EXPECT_EQ(other.at(k), picks[static_cast<size_t>(k)]);
  }
}

static std::vector<int64_t> order_of(uint64_t seed, phase p, int64_t epoch) {
  blend b(seed, p, {{.size = 40}});
  std::vector<int64_t> out;
  for (int64_t k = 0; k < 40; ++k) {
    out.push_back(b.at(epoch * 40 + k).index);
  }
  return out;
}

TEST(BlendTest, EpochsSeedsAndPhasesHaveOrdersOfTheirOwn) {
  const auto base = order_of(1, phase::sft, 0);
  EXPECT_NE(base, order_of(1, phase::sft, 1));
  EXPECT_NE(base, order_of(2, phase::sft, 0));
  EXPECT_NE(base, order_of(1, phase::ppo, 0));
  EXPECT_EQ(base, order_of(1, phase::sft, 0));
}

TEST(BlendTest, EmptySourcesAreLeftOut) {
  blend b(1, phase::sft, {{.size = 0}, {.size = 3}, {.size = 9, .weight = 0}});
  EXPECT_EQ(b.epoch_size(), 3);
  for (int64_t k = 0; k < 9; ++k) {
    EXPECT_EQ(b.at(k).source, 1);
  }
}

TEST(BlendTest, NothingToDrawFromIsAnError) {
  EXPECT_THROW(blend(1, phase::sft, {}), error);
  EXPECT_THROW(blend(1, phase::sft, {{.size = 0}}), error);
  EXPECT_THROW(blend(1, phase::sft, {{.size = 2, .weight = -1}}), error);
  EXPECT_THROW(blend(1, phase::sft, {{.size = 2, .weight = std::numeric_limits<double>::infinity()}}), error);
}

}  // namespace troupe::io
