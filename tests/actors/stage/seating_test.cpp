#include "actors/stage/seating.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

TEST(Seating, WithoutRanksInTheJobAModelIsOnAll) {
  const seating at = seating_of({}, 2, 4);
  for (const seat& one : {at.policy, at.critic, at.reference, at.reward}) {
    EXPECT_EQ(one.members, (std::vector<int>{0, 1, 2, 3}));
    EXPECT_EQ(one.place, 2);
    EXPECT_TRUE(one.here());
    EXPECT_FALSE(one.first());
  }
}

TEST(Seating, AModelsRanksAreCountedAmongThemselves) {
  io::place_section place;
  place.policy_ranks.ranks = {0, 1};
  place.critic_ranks.ranks = {1, 3};
  const seating at = seating_of(place, 3, 4);
  EXPECT_FALSE(at.policy.here());
  EXPECT_FALSE(at.policy.first());
  EXPECT_EQ(at.policy.ranks(), 2);
  EXPECT_EQ(at.critic.place, 1);
  EXPECT_EQ(at.critic.members, (std::vector<int>{1, 3}));
  EXPECT_EQ(at.reward.place, 3);
  EXPECT_TRUE(seating_of(place, 1, 4).critic.first());
}

}  // namespace troupe::actors
