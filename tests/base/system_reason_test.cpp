#include "base/system_reason.hpp"

#include <gtest/gtest.h>

#include <cerrno>

namespace troupe {

TEST(SystemReason, WhatCanBeDoneAboutItIsSaid) {
  EXPECT_EQ(system_reason(ENOSPC),
            "No space left on device (make room on that file system: `troupe plan` tells what a run needs)");
  EXPECT_NE(system_reason(EFBIG).find("ulimit -f unlimited"), std::string::npos);
  EXPECT_NE(system_reason(EDQUOT).find("quota"), std::string::npos);
  EXPECT_NE(system_reason(EACCES).find("name another folder"), std::string::npos);
  EXPECT_EQ(system_reason(ENOENT), "No such file or directory");
}

}  // namespace troupe
