#include "actors/director/kept_experience.hpp"
#include "io/experience/experience.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <vector>

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

TEST_F(KeptExperience, TheLastStay) {
  drop_old_experience(run_, 4, {.keep = 2}, fence());
  EXPECT_EQ(files(), (names{"iteration-000003.h5", "iteration-000004.h5"}));
}

TEST_F(KeptExperience, ZeroKeepsAll) {
  drop_old_experience(run_, 4, {}, fence());
  EXPECT_EQ(files().size(), 4U);
}

TEST_F(KeptExperience, EveryNthStaysBesides) {
  drop_old_experience(run_, 4, {.keep = 1, .keep_every = 2}, fence());
  EXPECT_EQ(files(), (names{"iteration-000002.h5", "iteration-000004.h5"}));
}

/// Of one sequence with this reward.
void store(const std::filesystem::path& path, int64_t iteration, float reward) {
  io::experience e;
  e.iteration = iteration;
  e.source_names = e.reward_names = {"a"};
  e.sequence_id_B = e.prompt_id_B = e.group_B = {1};
  e.source_B = {0};
  e.token_N = {1, 2};
  e.sequence_offset_B1 = {0, 2};
  e.answer_offset_B1 = {0, 1};
  e.finished_B = {1};
  e.logprob_old_A = e.logprob_ref_A = {-1};
  e.value_A = e.reward_shaped_A = e.advantage_A = {0};
  e.reward_raw_BS = {reward};
  write_experience(path, e);
}

TEST_F(KeptExperience, TheBestOfTheOlderStay) {
  const float none = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> rewards = {3, none, 5, 1, 5, 2, 4, 0};
  for (int64_t i = 1; i <= 4; ++i) {
    std::filesystem::remove(run_.experience(i));
  }
  for (int64_t now = 1; now <= static_cast<int64_t>(rewards.size()); ++now) {
    store(run_.experience(now), now, rewards[static_cast<size_t>(now) - 1]);
    drop_old_experience(run_, static_cast<uint64_t>(now), {.keep = 1, .keep_best = 2}, fence());
  }
  EXPECT_EQ(files(), (names{"iteration-000003.h5", "iteration-000005.h5", "iteration-000008.h5"}));
}

TEST_F(KeptExperience, AnOldFileThatCannotBeReadStays) {
  store(run_.experience(1), 1, 7);
  drop_old_experience(run_, 4, {.keep = 1, .keep_best = 1}, fence());
  EXPECT_EQ(files().size(), 4U) << "2 and 3 are not experience";
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
