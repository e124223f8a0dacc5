#include "actors/restart_policy.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace troupe::actors {

using namespace std::chrono_literals;

TEST(RestartPolicy, GivesUpAfterSoManyFailuresInARow) {
  restart_policy policy(2);
  for (int i = 0; i < 2; ++i) {
    policy.note_failure(true);
    EXPECT_FALSE(policy.gives_up());
  }
  policy.note_failure(false);
  EXPECT_TRUE(policy.gives_up());
  const std::string words = policy.parting_words("exit code 3");
  EXPECT_NE(words.find("failed 3 times"), std::string::npos) << words;
  EXPECT_NE(words.find("last: exit code 3"), std::string::npos) << words;
  EXPECT_NE(words.find("recovery.restarts = 2"), std::string::npos) << words;
}

TEST(RestartPolicy, WhatFailsOnSeveralHostsIsNoHostsFault) {
  restart_policy policy(0);
  policy.note_failure(true);
  const std::string words = policy.parting_words("exit code 3", {"node2", "node3"});
  EXPECT_NE(words.find("on node2, node3 alike, so that no host is to blame"), std::string::npos) << words;
  EXPECT_EQ(policy.parting_words("exit code 3", {"node2"}).find("node2"), std::string::npos) << "it may be";
}

TEST(RestartPolicy, WithoutRestartsTheFirstFailureIsTheLast) {
  restart_policy policy(0);
  policy.note_failure(true);
  EXPECT_TRUE(policy.gives_up());
}

TEST(RestartPolicy, ACheckpointMakesFailuresForgotten) {
  restart_policy policy(1);
  for (int i = 0; i < 10; ++i) {
    policy.note_failure(true);
    EXPECT_FALSE(policy.gives_up()) << i;
    policy.note_progress();
  }
}

TEST(RestartPolicy, AnAttemptThatHadBeenLaunchedIsFollowedAtOnce) {
  restart_policy policy(5);
  policy.note_failure(true);
  policy.note_failure(true);
  EXPECT_EQ(policy.failures(), 2);
  EXPECT_EQ(policy.failed_launches(), 0);
  EXPECT_EQ(policy.pause(), 0ms);
}

TEST(RestartPolicy, LaunchesThatFailArePausedForLongerAndLonger) {
  restart_policy policy(100);
  std::vector<std::chrono::milliseconds> pauses;
  for (int i = 0; i < 12; ++i) {
    policy.note_failure(false);
    pauses.push_back(policy.pause());
  }
  EXPECT_EQ(pauses, (std::vector<std::chrono::milliseconds>{250ms, 2s, 3s, 4s, 5s, 6s, 7s, 8s, 9s, 10s, 10s, 10s}));
  policy.note_failure(true);
  EXPECT_EQ(policy.pause(), 0ms) << "a launch that succeeds ends the series";
  policy.note_failure(false);
  EXPECT_EQ(policy.pause(), 250ms);
}

}  // namespace troupe::actors
