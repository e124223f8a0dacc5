#include "actors/director/kept_experience.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

namespace troupe::actors {
namespace {

using names = std::set<std::string>;

class KeptExperience : public ::testing::Test {
protected:
  void SetUp() override {
    attempt_ = run_.begin_attempt();
    for (int64_t iteration = 1; iteration <= 4; ++iteration) {
      std::filesystem::create_directories(run_.experience());
      std::ofstream(run_.experience(iteration)) << iteration;
    }
  }
  io::attempt_fence fence() const { return run_.fence(attempt_); }
  names files() const {
    names all;
    for (const auto& entry : std::filesystem::directory_iterator(run_.experience())) {
      all.insert(entry.path().filename().string());
    }
    return all;
  }

  test::temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  int64_t attempt_ = 0;
};

TEST_F(KeptExperience, TheOneThatFallsOutOfThoseToKeepGoes) {
  drop_old_experience(run_, 4, 2, fence());
  EXPECT_EQ(files(), (names{"iteration-000001.h5", "iteration-000003.h5", "iteration-000004.h5"}));
}

TEST_F(KeptExperience, ZeroKeepsAll) {
  drop_old_experience(run_, 4, 0, fence());
  EXPECT_EQ(files().size(), 4U);
}

TEST_F(KeptExperience, WhatIterationsAfterACheckpointLeftGoes) {
  drop_later_experience(run_, 2, fence());
  EXPECT_EQ(files(), (names{"iteration-000001.h5", "iteration-000002.h5"}));
}

TEST_F(KeptExperience, ADivergedIterationsFileIsRenamedInTheReason) {
  const std::string reason = set_aside(run_, 3, 2, "too far; see experience/iteration-000003.h5. Learn", fence());
  EXPECT_EQ(reason, "too far; see experience/iteration-000003.diverged-2.h5. Learn");
  EXPECT_TRUE(files().contains("iteration-000003.diverged-2.h5"));
  EXPECT_FALSE(files().contains("iteration-000003.h5"));
  drop_later_experience(run_, 0, fence());
  EXPECT_EQ(files(), names{"iteration-000003.diverged-2.h5"}) << "nothing else removes it";
}

TEST_F(KeptExperience, AReasonThatNamesNoFileIsToldWhereItIs) {
  EXPECT_EQ(set_aside(run_, 3, 1, "nan", fence()),
            "nan; the experience is kept in experience/iteration-000003.diverged-1.h5");
}

TEST_F(KeptExperience, WhereNoneWasKeptTheReasonStays) { EXPECT_EQ(set_aside(run_, 9, 1, "nan", fence()), "nan"); }

}  // namespace
}  // namespace troupe::actors
