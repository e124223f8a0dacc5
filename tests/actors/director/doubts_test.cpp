// What a run warns of: when, when not, and once.
#include "actors/director/doubts.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

using texts = std::vector<std::string>;

TEST(Doubts, EqualRewardsAndCutAnswersAreTold) {
  io::job job;
  job.generation.max_new_tokens = 24;
  EXPECT_EQ(doubts_of_iteration(job, {{"reward/raw_std", 0.1}, {"answer/unfinished_share", 0.9}}, 8), texts());
  const texts equal = doubts_of_iteration(job, {{"reward/raw_std", 0}, {"answer/unfinished_share", 0.9}}, 8);
  ASSERT_EQ(equal.size(), 1U);
  EXPECT_NE(equal[0].find("all 8 answers of an iteration have the same reward"), std::string::npos);
  const texts cut = doubts_of_iteration(job, {{"reward/raw_std", 0.1}, {"answer/unfinished_share", 1}}, 8);
  ASSERT_EQ(cut.size(), 1U);
  EXPECT_NE(cut[0].find("generation.max-new-tokens = 24"), std::string::npos);
}

TEST(Doubts, OneAnswerAndNoRewardAtAllAreNoEqualRewards) {
  EXPECT_EQ(doubts_of_iteration({}, {{"reward/raw_std", 0}, {"answer/unfinished_share", 1}}, 1), texts());
  EXPECT_EQ(doubts_of_iteration({}, {}, 8), texts());
}

TEST(Doubts, ARewardModelMustBeatChanceByWhatItsPairsCanShow) {
  const auto doubted = [](double accuracy, double pairs) {
    return !doubts_of_reward_model({{"held_out/accuracy", accuracy}, {"held_out/pairs", pairs}}).empty();
  };
  EXPECT_TRUE(doubted(0.5, 400));
  EXPECT_TRUE(doubted(0.54, 400));
  EXPECT_FALSE(doubted(0.56, 400));
  EXPECT_TRUE(doubted(0.56, 100));
  EXPECT_TRUE(doubted(0.3, 400));
  EXPECT_FALSE(doubted(0.65, 100));
  EXPECT_TRUE(doubts_of_reward_model({}).empty());
}

TEST(Doubts, EachIsToldOnce) {
  doubtful told;
  EXPECT_EQ(told.fresh({"a", "b"}), (texts{"a", "b"}));
  EXPECT_EQ(told.fresh({"b", "c"}), (texts{"c"}));
}

}  // namespace
}  // namespace troupe::actors
