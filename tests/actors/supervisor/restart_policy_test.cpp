#include "actors/supervisor/restart_policy.hpp"

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

TEST(RestartPolicy, WhatFailsAtTheSameStepEachTimeIsSaidToDoSo) {
  restart_policy policy(2);
  for (int i = 0; i < 3; ++i) {
    policy.note_step("sft 5");  // of the checkpoint
    policy.note_step("sft 7");
    policy.note_failure(true);
  }
  const std::string words = policy.parting_words("signal 11");
  EXPECT_NE(words.find("failed 3 times without a new checkpoint, each time after sft 7"), std::string::npos) << words;
  policy.note_step("sft 6");
  policy.note_failure(true);
  EXPECT_EQ(policy.parting_words("signal 11").find("each time"), std::string::npos);
}

TEST(RestartPolicy, WithoutRestartsTheFirstFailureIsTheLast) {
  restart_policy policy(0);
  policy.note_failure(true);
  EXPECT_TRUE(policy.gives_up());
}

/// What Slurm does not start is tried again and again, at these times.
static void refuse(restart_policy& policy, std::chrono::seconds time, std::chrono::seconds start = 0s) {
  for (auto now = start; now <= start + time; now += 10s) {
    policy.note_refusal(restart_policy::clock::time_point(now));
  }
}

TEST(RestartPolicy, LaunchesThatSlurmRefusesHavePatienceOfTheirOwn) {
  restart_policy policy(0);
  policy.note_launch();
  refuse(policy, 900s);
  EXPECT_FALSE(policy.gives_up()) << "though no failure is allowed";
  EXPECT_EQ(policy.failures(), 0);
  EXPECT_EQ(policy.pause(), 10s);
  refuse(policy, 0s, 910s);
  EXPECT_TRUE(policy.gives_up());
  const std::string words = policy.parting_words("exit code 120: srun: error: Unable to contact slurm controller");
  EXPECT_NE(words.find("for 910 s, in 92 tries"), std::string::npos) << words;
  EXPECT_NE(words.find("Unable to contact"), std::string::npos) << words;
  EXPECT_NE(words.find("scontrol ping"), std::string::npos) << words;
}

TEST(RestartPolicy, WhereSlurmHasNeverStartedRanksItIsShorter) {
  restart_policy policy(5);
  refuse(policy, 120s);
  EXPECT_FALSE(policy.gives_up());
  refuse(policy, 10s, 130s);
  EXPECT_TRUE(policy.gives_up());
}

TEST(RestartPolicy, ALaunchThatSucceedsOrFailsOtherwiseEndsARowOfRefusals) {
  restart_policy policy(5);
  policy.note_launch();
  for (int i = 0; i < 3; ++i) {
    refuse(policy, 600s, i * 1000s);
    policy.note_launch();
    EXPECT_FALSE(policy.gives_up());
    policy.note_failure(true);
    policy.note_progress();
  }
  refuse(policy, 600s, 5000s);
  policy.note_failure(false);
  refuse(policy, 600s, 5700s);
  EXPECT_FALSE(policy.gives_up());
}

TEST(RestartPolicy, RanksThatDieBeforeTheirFirstWordAreNoRefusal) {
  restart_policy policy(2);
  for (int i = 0; i < 3; ++i) {
    policy.note_failure(false);
  }
  EXPECT_TRUE(policy.gives_up());
  EXPECT_NE(policy.parting_words("exit code 2: execve()").find("last: exit code 2: execve()"), std::string::npos);
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
