#include "actors/supervisor/crash_watch.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

using namespace std::chrono_literals;
using host_set = std::set<std::string>;

class CrashWatch : public ::testing::Test {
protected:
  /// An attempt ends because a rank on this host dies.
  std::optional<crash_watch::crash> crash_on(const std::string& host) {
    watch_.note_lost(host, true, now_);
    watch_.note_lost("node8", false, now_ + 20ms);  // ended with the attempt
    watch_.note_lost("node9", false, now_ + 21ms);
    return watch_.conclude(now_);
  }

  crash_watch watch_;
  const crash_watch::clock::time_point now_ = crash_watch::clock::now();
};

TEST_F(CrashWatch, TwoCrashesWithoutACheckpointBetweenLeaveTheHostOut) {
  const auto first = crash_on("node2");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->host, "node2");
  EXPECT_EQ(first->in_a_row, 1);
  EXPECT_EQ(first->verdict, "");
  EXPECT_EQ(watch_.doubtful(now_), host_set());
  const auto second = crash_on("node2");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->in_a_row, 2);
  EXPECT_EQ(second->verdict, "left out for 60 s");
  EXPECT_EQ(watch_.doubtful(now_ + 59s), host_set({"node2"}));
  EXPECT_EQ(watch_.doubtful(now_ + 61s), host_set());
}

TEST_F(CrashWatch, WithCheckpointsBetweenItIsTheThird) {
  for (int i = 1; i <= 2; ++i) {
    EXPECT_EQ(crash_on("node2")->verdict, "") << i;
    watch_.note_progress();
  }
  EXPECT_EQ(crash_on("node2")->verdict, "left out for 60 s");
}

TEST_F(CrashWatch, AHostThatCrashesWheneverItIsBackIsLeftOutForGood) {
  crash_on("node2");
  EXPECT_EQ(crash_on("node2")->verdict, "left out for 60 s");
  watch_.note_progress();
  EXPECT_EQ(crash_on("node2")->verdict, "left out for 60 s");
  watch_.note_progress();
  EXPECT_EQ(crash_on("node2")->verdict, "left out for good");
  EXPECT_EQ(watch_.doubtful(now_ + 24h), host_set({"node2"}));
}

TEST_F(CrashWatch, WhatCrashesOnOneHostAfterTheOtherIsTheJobsOwn) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(crash_on("node2")->in_a_row, 1);
    EXPECT_EQ(crash_on("node3")->in_a_row, 1);
  }
  EXPECT_EQ(watch_.doubtful(now_), host_set());
  EXPECT_EQ(watch_.hosts(), host_set({"node2", "node3"}));
  watch_.note_progress();
  EXPECT_EQ(watch_.hosts(), host_set());
}

TEST_F(CrashWatch, HostsThatDieTogetherAreNotToBlame) {
  for (int i = 0; i < 3; ++i) {
    watch_.note_lost("node2", true, now_);
    watch_.note_lost("node3", false, now_ + 2ms);
    EXPECT_FALSE(watch_.conclude(now_));
  }
  EXPECT_EQ(watch_.hosts(), host_set({"node2", "node3"}));
  crash_on("node2");
  watch_.note_lost("node2", true, now_);
  watch_.note_lost("node3", false, now_ + 2ms);
  EXPECT_FALSE(watch_.conclude(now_));
  EXPECT_EQ(crash_on("node2")->in_a_row, 1) << "the crash of both ended the series";
}

// A launcher ends the others within milliseconds, before the supervisor has judged the first loss.
TEST_F(CrashWatch, RanksThatAreEndedBeforeTheAttemptIsJudgedAreNotTheFirst) {
  for (int i = 1; i <= 2; ++i) {
    watch_.note_lost("node2", true, now_);
    watch_.note_lost("node3", true, now_ + 20ms);
    watch_.note_lost("node4", true, now_ + 21ms);
    const auto found = watch_.conclude(now_ + 250ms);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->host, "node2");
    EXPECT_EQ(found->in_a_row, i);
  }
  EXPECT_EQ(watch_.doubtful(now_ + 1s), host_set({"node2"}));
}

TEST_F(CrashWatch, AllRanksOfOneHostAtOnceAreThatHostsCrash) {
  watch_.note_lost("node2", true, now_);
  watch_.note_lost("node2", false, now_ + 1ms);
  EXPECT_EQ(watch_.conclude(now_)->host, "node2");
}

TEST_F(CrashWatch, AnAttemptThatWasEndedForAnotherReasonTellsNothing) {
  crash_on("node2");
  watch_.note_lost("node2", false, now_);  // killed, as all others, since a rank hung
  EXPECT_FALSE(watch_.conclude(now_));
  EXPECT_FALSE(watch_.conclude(now_)) << "nobody died: the launch failed";
  EXPECT_EQ(crash_on("node2")->in_a_row, 2);
}

}  // namespace troupe::actors
