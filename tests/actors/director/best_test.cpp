#include "actors/director/best.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe::actors {
namespace {

const evaluation_measure reward{.metric = "reward", .lower_is_better = false};
const evaluation_measure loss{.metric = "loss", .lower_is_better = true};

TEST(Best, IsTheFirstThatIsBetterThanAllBefore) {
  phase_state state;
  std::vector<bool> better;
  for (const double value : {0.5, 0.25, 0.75, 0.75}) {
    ++state.counter;
    better.push_back(note_best(state, reward, {{"reward", value}, {"loss", 3}}));
  }
  EXPECT_EQ(better, (std::vector{true, false, true, false}));
  EXPECT_EQ(best_of(state, reward).counter, 3);
  EXPECT_EQ(best_of(state, reward).metric, "reward");
  EXPECT_EQ(best_of(state, reward).value, 0.75);
}

TEST(Best, MayBeTheLowest) {
  phase_state state;
  EXPECT_TRUE(note_best(state, loss, {{"loss", -1}}));
  EXPECT_FALSE(note_best(state, loss, {{"loss", 2}}));
  EXPECT_TRUE(note_best(state, loss, {{"loss", -2}}));
}

TEST(Best, IsNeverOneWithoutANumber) {
  phase_state state;
  EXPECT_FALSE(note_best(state, loss, {{"reward", 1}}));
  EXPECT_FALSE(note_best(state, loss, {{"loss", NAN}}));
  EXPECT_FALSE(note_best(state, loss, {{"loss", -INFINITY}}));
  EXPECT_EQ(best_of(state, loss).counter, -1) << "none was evaluated";
}

}  // namespace
}  // namespace troupe::actors
