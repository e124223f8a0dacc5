#include "actors/supervisor/card_watch.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

TEST(CardWatch, TwoFailuresOfOneCardLeaveItOutWhateverHappensBetween) {
  card_watch watch;
  EXPECT_EQ(watch.note("node2", 1), 1);
  EXPECT_EQ(watch.note("node2", 0), 1);
  EXPECT_EQ(watch.note("node3", 1), 1);
  EXPECT_TRUE(watch.doubtful().empty());
  watch.note_progress();
  EXPECT_EQ(watch.note("node2", 1), 2);
  EXPECT_EQ(watch.doubtful(), (card_set{{"node2", {1}}}));
  EXPECT_EQ(watch.note("node2", 1), 3) << "as one that could not be left out";
  EXPECT_EQ(watch.note("node2", 0), 2);
  EXPECT_EQ(watch.doubtful(), (card_set{{"node2", {0, 1}}}));
}

TEST(CardWatch, ItsPlacesAreThoseSinceTheLastProgress) {
  card_watch watch;
  watch.note("node2", 1);
  watch.note("", 3);
  EXPECT_EQ(watch.places(), (std::set<std::string>{"card 1 of node2", "card 3"}));
  watch.note_progress();
  EXPECT_TRUE(watch.places().empty());
}

}  // namespace troupe::actors
