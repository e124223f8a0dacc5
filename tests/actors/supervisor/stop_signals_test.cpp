// Signals to this very process.
#include "actors/supervisor/stop_signals.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <future>
#include <thread>

namespace troupe::actors {

using namespace std::chrono_literals;

TEST(StopSignals, OneEndsASleepAndIsKeptForWhoTakesItLater) {
  stop_signals signals;
  EXPECT_TRUE(signals.sleep(1ms));
  ::kill(::getpid(), SIGTERM);
  EXPECT_FALSE(signals.sleep(30s));
  EXPECT_FALSE(signals.sleep(0ms)) << "it has come once and for all";
  std::promise<int> heard;
  signals.send_to([&](int number) { heard.set_value(number); });
  auto number = heard.get_future();
  ASSERT_EQ(number.wait_for(30s), std::future_status::ready);
  EXPECT_EQ(number.get(), SIGTERM);
}

TEST(StopSignals, TheyDoAgainWhatTheyDidBefore) {
  { const stop_signals signals; }
  EXPECT_EXIT(::kill(::getpid(), SIGTERM), ::testing::KilledBySignal(SIGTERM), "");
}

static void insist(stop_signals& signals) {
  ::kill(::getpid(), SIGTERM);
  signals.sleep(30s);
  std::this_thread::sleep_for(700ms);
  ::kill(::getpid(), SIGTERM);
  std::this_thread::sleep_for(30s);
}

TEST(StopSignals, WhoInsistsIsGivenInToWhereNobodyTakesThem) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        stop_signals signals;
        insist(signals);
      },
      ::testing::ExitedWithCode(75), "");
}

TEST(StopSignals, AndWhereTheOneWhoTakesThemStandsStill) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        stop_signals signals;
        signals.send_to([](int) {});
        insist(signals);
      },
      ::testing::ExitedWithCode(75), "");
}

}  // namespace troupe::actors
