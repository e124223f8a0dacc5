#include "actors/director/company.hpp"
#include "actors/director/scoring_groups.hpp"
#include "support/stepped_actors.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

/// Casts whose parts are where a test puts them; nobody asks them anything.
class Company : public ::testing::Test {
protected:
  void put(cast_part part, const std::vector<size_t>& ranks) {
    for (const size_t rank : ranks) {
      casts_[rank].*part = caf::actor_cast<caf::strong_actor_ptr>(
          actors_.system().spawn([](caf::event_based_actor*) { return caf::behavior{[](tick_atom) {}}; }));
      spawned_.push_back(caf::actor_cast<caf::actor>(casts_[rank].*part));
    }
  }
  company of_casts() const { return company(casts_); }

  /// "reference+reward critic": the names of each group.
  std::string groups() const {
    std::string text;
    for (const scoring_group& group : scoring_groups(of_casts())) {
      text += text.empty() ? "" : " ";
      for (size_t i = 0; i < group.size(); ++i) {
        text += (i > 0 ? "+" : "") + group[i].name;
      }
    }
    return text;
  }

  void TearDown() override {
    for (const caf::actor& actor : spawned_) {
      actors_.end(actor);
    }
  }

  test::stepped_actors actors_;
  std::vector<cast> casts_ = std::vector<cast>(4);
  std::vector<caf::actor> spawned_;
};

TEST_F(Company, APartIsPlayedByThoseRanksThatHaveIt) {
  put(&cast::policy, {1, 3});
  const auto policies = of_casts().everyone<caf::actor>(&cast::policy);
  ASSERT_EQ(policies.size(), 2U);
  EXPECT_EQ(policies[0], spawned_[0]) << "by rank";
  EXPECT_EQ(policies[1], spawned_[1]);
  EXPECT_TRUE(of_casts().has(&cast::policy));
  EXPECT_FALSE(of_casts().has(&cast::critic));
  EXPECT_FALSE(company().has(&cast::policy)) << "before the first phase";
}

TEST_F(Company, PartsShareRanksWhereOneRankHasBoth) {
  put(&cast::policy, {0, 1});
  put(&cast::critic, {1, 2});
  put(&cast::reward, {2, 3});
  EXPECT_TRUE(of_casts().share_ranks(&cast::policy, &cast::critic));
  EXPECT_FALSE(of_casts().share_ranks(&cast::policy, &cast::reward));
}

TEST_F(Company, WhatTheLoadersFoundIsThatOfAnyRank) {
  casts_[0].held_out = 5;
  casts_[0].epoch_size = 70;
  casts_[0].notes = {"3 records left out"};
  EXPECT_EQ(of_casts().held_out(), 5);
  EXPECT_EQ(of_casts().epoch_size(), 70);
  EXPECT_EQ(of_casts().notes(), std::vector<std::string>{"3 records left out"});
}

TEST_F(Company, ScorersOnTheSameRanksScoreOneAfterTheOther) {
  for (const cast_part part : {&cast::policy, &cast::reference, &cast::reward, &cast::critic}) {
    put(part, {0, 1, 2, 3});
  }
  EXPECT_EQ(groups(), "reference+reward+critic");
  EXPECT_TRUE(waits_for_policy(of_casts(), scoring_groups(of_casts())[0]));
}

TEST_F(Company, ScorersOnRanksOfTheirOwnScoreAtTheSameTime) {
  put(&cast::policy, {0});
  put(&cast::reference, {1});
  put(&cast::reward, {2});
  put(&cast::critic, {3});
  EXPECT_EQ(groups(), "reference reward critic");
  for (const scoring_group& group : scoring_groups(of_casts())) {
    EXPECT_FALSE(waits_for_policy(of_casts(), group)) << group[0].name;
  }
}

TEST_F(Company, AScorerThatMeetsTwoOthersJoinsThem) {
  put(&cast::reference, {0});
  put(&cast::reward, {3});
  put(&cast::critic, {0, 3});
  EXPECT_EQ(groups(), "reference+reward+critic");
}

TEST_F(Company, PartsThatThePhaseLacksAreInNoGroup) {
  put(&cast::policy, {0});
  put(&cast::reward, {0, 1});
  EXPECT_EQ(groups(), "reward");
}

}  // namespace
}  // namespace troupe::actors
