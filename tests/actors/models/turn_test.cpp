// A model's turn: one user at a time, and a second one is told of the first.
#include "actors/models/turn.hpp"
#include "support/refusal.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <thread>

namespace troupe::actors {
namespace {

TEST(Turn, SecondUserIsRefusedAndBothAreNamed) {
  turn_taking turns;
  const turn first(turns, "critic gradients");
  const std::string told = test::refusal([&] { const turn second(turns, "optimizer step"); });
  EXPECT_NE(told.find("\"optimizer step\" was asked to begin while \"critic gradients\""), std::string::npos) << told;
}

TEST(Turn, IsFreeAgainWhenItsHolderEndsOrFails) {
  turn_taking turns;
  { const turn first(turns, "first"); }
  try {
    const turn failing(turns, "failing");
    throw std::runtime_error("failed in its turn");
  } catch (const std::runtime_error&) {
  }
  EXPECT_NO_THROW(turn(turns, "last"));
}

TEST(Turn, RefusedUserDoesNotEndTheHoldersTurn) {
  turn_taking turns;
  const turn first(turns, "first");
  test::refusal([&] { const turn second(turns, "second"); });
  test::refusal([&] { const turn third(turns, "third"); });
}

TEST(Turn, ThreadsSeeEachOthersTurns) {
  turn_taking turns;
  std::optional<turn> here;
  here.emplace(turns, "here");
  std::thread([&] { test::refusal([&] { const turn there(turns, "there"); }); }).join();
  here.reset();
  std::thread([&] { EXPECT_NO_THROW(turn(turns, "there")); }).join();
}

}  // namespace
}  // namespace troupe::actors
