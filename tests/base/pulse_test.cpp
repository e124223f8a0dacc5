// What a watcher sees of a part of the program at work.
#include "base/pulse.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace troupe {
namespace {

TEST(Pulse, AnOperationIsSeenFromItsBeginToItsEnd) {
  pulse watched;
  EXPECT_EQ(watched.operation(), nullptr);
  {
    const operation_scope work(watched, "train");
    EXPECT_STREQ(watched.operation(), "train");
    EXPECT_EQ(watched.count(), 1U);
    work.touch();
    EXPECT_EQ(watched.count(), 2U);
  }
  EXPECT_EQ(watched.operation(), nullptr);
  EXPECT_EQ(watched.count(), 3U);
}

TEST(Pulse, WaitingIsOfTheOperationThatTheThreadIsIn) {
  pulse outer, inner;
  const operation_scope outer_work(outer, "update");
  {
    const operation_scope inner_work(inner, "reduce");
    const waiting_scope waiting;
    const waiting_scope again;
    EXPECT_TRUE(inner.waits());
    EXPECT_FALSE(outer.waits());
  }
  EXPECT_FALSE(inner.waits());
  const waiting_scope waiting;
  EXPECT_TRUE(outer.waits()) << "what is outside is the thread's again";
}

TEST(Pulse, WhatWaitsBehindAThreadIsItsOperations) {
  pulse watched;
  {
    const operation_scope work(watched, "update");
    waiting_behind first;
    const waiting_scope waiting;
    {
      waiting_behind second;
      std::thread([&] {
        first.set(true);
        first.set(true);
        first.set(false);
        second.set(true);
      }).join();
    }
  }
  EXPECT_FALSE(watched.waits()) << "none is counted twice, or left";
  waiting_behind nothing;
  nothing.set(true);
  EXPECT_FALSE(watched.waits());
  const operation_scope work(watched, "update");
  waiting_behind one;
  EXPECT_FALSE(watched.waits());
  std::thread([&] { one.set(true); }).join();
  EXPECT_TRUE(watched.waits());
}

TEST(Pulse, AThreadWithoutAnOperationWaitsForNobodysFault) {
  pulse watched;
  const operation_scope work(watched, "update");
  std::thread([] { const waiting_scope waiting; }).join();
  EXPECT_FALSE(watched.waits());
  EXPECT_EQ(watched.count(), 1U);
}

}  // namespace
}  // namespace troupe
