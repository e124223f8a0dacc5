// What mpirun says itself, between what ranks say.
#include "actors/hosts/launcher_talk.hpp"

#include <gtest/gtest.h>

#include <string>

namespace troupe::actors {

TEST(LauncherTalk, AFrameIsMpirunsAndWhatStandsAroundItIsNot) {
  launcher_talk talk;
  const std::string frame(74, '-');
  EXPECT_FALSE(talk.is_own("04:12:33 info sft: 40 records"));
  EXPECT_TRUE(talk.is_own(frame));
  EXPECT_TRUE(talk.is_own("mpirun has exited due to process rank 0 with PID 7 on node vm exiting improperly."));
  EXPECT_TRUE(talk.is_own(""));
  EXPECT_TRUE(talk.is_own(frame));
  EXPECT_FALSE(talk.is_own("troupe worker: rank 0: policy: no memory"));
  EXPECT_FALSE(talk.is_own("---"));
}

TEST(LauncherTalk, AFrameThatNeverClosesHidesOnlySoMuch) {
  launcher_talk talk;
  EXPECT_TRUE(talk.is_own(std::string(74, '-')));
  int hidden = 0;
  while (hidden < 1000 && talk.is_own("a rank's")) {
    ++hidden;
  }
  EXPECT_LT(hidden, 100);
}

TEST(LauncherTalk, LinesOfItsDaemonsAreItsOwn) {
  launcher_talk talk;
  EXPECT_TRUE(talk.is_own("[node1:12345] 1 more process has sent help message help-mpi-btl-base.txt"));
  EXPECT_TRUE(talk.is_own("mpirun: Forwarding signal 15 to job"));
  EXPECT_FALSE(talk.is_own("[rewards.learned] is a section: \"x\" is not"));
  EXPECT_FALSE(talk.is_own("[a:b] is no daemon"));
}

TEST(LauncherTalk, DetailsOfALogAreKnownByTheirSecondWord) {
  EXPECT_TRUE(is_log_detail("04:12:33 info sft: 40 records"));
  EXPECT_FALSE(is_log_detail("04:12:33 warning sft: 40 records"));
  EXPECT_FALSE(is_log_detail("info"));
  EXPECT_FALSE(is_log_detail(""));
}

}  // namespace troupe::actors
