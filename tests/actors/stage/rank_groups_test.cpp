// Which communicators a phase opens, and who is in them.
#include "actors/stage/rank_groups.hpp"
#include "support/local_rank_groups.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::actors {
namespace {

io::place_section policy_on(std::vector<int64_t> ranks) {
  io::place_section place;
  place.policy_ranks.ranks = std::move(ranks);
  return place;
}

TEST(RankGroups, ModelsCommunicatorIsOfItsRanksAlone) {
  test::as_rank_groups(3, [](rank_groups& groups) {
    const seating at = groups.seats(policy_on({0, 2}));
    const auto policy = groups.open("policy gradients", at.policy);
    if (groups.rank() == 1) {
      EXPECT_EQ(policy, nullptr);
    } else {
      ASSERT_NE(policy, nullptr);
      EXPECT_EQ(policy->size(), 2);
      EXPECT_EQ(policy->rank(), groups.rank() / 2);
    }
    EXPECT_EQ(groups.open("critic gradients", at.critic)->size(), 3);
    EXPECT_EQ(groups.open("critic gradients", groups.all_ranks())->rank(), groups.rank());
  });
}

TEST(RankGroups, WeightsAreSharedInStageThreeByMoreThanOneRank) {
  test::as_rank_groups(2, [](rank_groups& groups) {
    const seat all = groups.all_ranks();
    for (const int64_t stage : {0, 1, 2}) {
      EXPECT_EQ(groups.open_weights("policy", stage, all), nullptr);
    }
    const auto shared = groups.open_weights("policy", 3, all);
    ASSERT_NE(shared, nullptr);
    EXPECT_EQ(shared->size(), 2);
    EXPECT_EQ(groups.open_weights("policy", 3, groups.seats(policy_on({1})).policy), nullptr) << "one rank has it all";
  });
}

static model_loading learning(dtype type) { return {.type = type, .learns = true}; }

TEST(RankGroups, MastersAreDividedFromStageOneWhereWeightsAreNotFloat32) {
  test::as_rank_groups(2, [](rank_groups& groups) {
    const seat all = groups.all_ranks();
    for (const int64_t stage : {0, 1, 2, 3}) {
      const model_loading narrow = groups.open_learning("policy", stage, learning(dtype::bf16), all);
      EXPECT_TRUE(narrow.learns);
      EXPECT_EQ(narrow.type, dtype::bf16);
      EXPECT_EQ(narrow.group != nullptr, stage == 3);
      EXPECT_EQ(narrow.master_group != nullptr, stage > 0);
      EXPECT_EQ(groups.open_learning("policy", stage, learning(dtype::f32), all).master_group, nullptr);
    }
    const seat one = groups.seats(policy_on({1})).policy;
    EXPECT_EQ(groups.open_learning("policy", 3, learning(dtype::bf16), one).master_group, nullptr)
        << "one rank has them all";
  });
}

TEST(RankGroups, NeighboursGenerateTogether) {
  test::as_rank_groups(4, [](rank_groups& groups) {
    io::place_section place;
    const seat all = groups.all_ranks();
    EXPECT_EQ(groups.open_generation(place, all), nullptr) << "each alone, by default";
    place.tensor_parallel = 2;
    const auto pair = groups.open_generation(place, all);
    ASSERT_NE(pair, nullptr);
    EXPECT_EQ(pair->size(), 2);
    EXPECT_EQ(pair->rank(), groups.rank() % 2);
    EXPECT_EQ(told_by_one(*pair, pair->rank() == 0 ? std::to_string(groups.rank()) : ""),
              groups.rank() < 2 ? "0" : "2");
  });
}

TEST(RankGroups, RanksWithoutThePolicyTakePartWhenItsCommunicatorsAreOpened) {
  test::as_rank_groups(3, [](rank_groups& groups) {
    io::place_section place = policy_on({1, 2});
    place.tensor_parallel = 2;
    const auto pair = groups.open_generation(place, groups.seats(place).policy);
    EXPECT_EQ(pair != nullptr, groups.rank() > 0);
  });
}

TEST(RankGroups, WhatOneRankSaysAllHear) {
  test::as_rank_groups(3, [](rank_groups& groups) {
    const auto work = groups.open("work");
    EXPECT_EQ(told_by_one(*work, groups.rank() == 1 ? "a digest" : ""), "a digest");
  });
}

}  // namespace
}  // namespace troupe::actors
