#include "actors/director/rollout_turns.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

using prompts = std::vector<uint64_t>;

TEST(RolloutTurns, EachGroupRunsAFewStepsOfTheBatch) {
  const auto commands = next_turn(7, {{.unfinished = 4, .waiting = {}}, {.unfinished = 1, .waiting = {}}});
  ASSERT_EQ(commands.size(), 2U);
  for (const generate_command& command : commands) {
    EXPECT_EQ(command.batch_id, 7U);
    EXPECT_EQ(command.steps, steps_per_command);
    EXPECT_FALSE(command.ends);
    EXPECT_EQ(command.give, prompts{});
    EXPECT_EQ(command.take, prompts{});
  }
}

TEST(RolloutTurns, AnIdleGroupTakesHalfOfWhatTheFullestHasNotBegun) {
  const auto commands = next_turn(
      7,
      {{.unfinished = 2, .waiting = {1}}, {.unfinished = 5, .waiting = {2, 3, 4}}, {.unfinished = 0, .waiting = {}}});
  EXPECT_EQ(commands[0].give, prompts{});
  EXPECT_EQ(commands[1].give, (prompts{4, 3}));
  EXPECT_EQ(commands[2].take, (prompts{4, 3}));
}

TEST(RolloutTurns, ASecondIdleGroupTakesOfWhatIsLeft) {
  const auto commands = next_turn(
      7,
      {{.unfinished = 0, .waiting = {}}, {.unfinished = 0, .waiting = {}}, {.unfinished = 9, .waiting = {1, 2, 3, 4}}});
  EXPECT_EQ(commands[0].take, (prompts{4, 3}));
  EXPECT_EQ(commands[1].take, prompts{2});
  EXPECT_EQ(commands[2].give, (prompts{4, 3, 2}));
}

TEST(RolloutTurns, WhereNothingWaitsNothingMoves) {
  const auto commands = next_turn(7, {{.unfinished = 0, .waiting = {}}, {.unfinished = 3, .waiting = {}}});
  EXPECT_EQ(commands[0].take, prompts{});
  EXPECT_EQ(commands[1].give, prompts{});
}

}  // namespace
}  // namespace troupe::actors
