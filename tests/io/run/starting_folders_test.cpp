#include "io/run/starting_folders.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

namespace troupe::io {

class StartingFolders : public ::testing::Test {
protected:
  static job with_phases(std::vector<phase> phases) {
    job j;
    j.model.policy = "/models/base";
    j.run.phases = std::move(phases);
    return j;
  }

  const test::temporary_folder folder_;
  const run_directory run_ = run_directory::open_or_create(folder_ / "run");
};

TEST_F(StartingFolders, EachPhaseGoesOnWithWhatEarlierOnesHaveMade) {
  const job j = with_phases({phase::sft, phase::reward, phase::ppo});
  const starting_folders from = starting_folders_of(j, &run_);
  EXPECT_EQ(from.policy, folder_ / "run/models/sft");
  EXPECT_EQ(from.reference, folder_ / "run/models/sft");
  EXPECT_EQ(from.trunk, "/models/base");
  EXPECT_EQ(from.reward, folder_ / "run/models/reward");
  EXPECT_EQ(from.critic, folder_ / "run/models/reward");
}

TEST_F(StartingFolders, WithoutEarlierPhasesTheOptionsCount) {
  job j = with_phases({phase::ppo});
  EXPECT_EQ(starting_folders_of(j, &run_).critic, "/models/base");
  j.model.reward = "/models/judge";
  const starting_folders from = starting_folders_of(j, &run_);
  EXPECT_EQ(from.policy, "/models/base");
  EXPECT_EQ(from.reference, "/models/base");
  EXPECT_EQ(from.reward, "/models/judge");
  EXPECT_EQ(from.critic, "/models/judge");
}

TEST_F(StartingFolders, AnSftPhaseAloneGivesTheCriticItsModelToo) {
  const starting_folders from = starting_folders_of(with_phases({phase::sft, phase::ppo}), &run_);
  EXPECT_EQ(from.critic, folder_ / "run/models/sft");
}

TEST_F(StartingFolders, OptionsOfTheirOwnComeFirst) {
  job j = with_phases({phase::sft, phase::reward, phase::ppo});
  j.model.reference = "/models/reference";
  j.model.critic = "/models/critic";
  j.model.reward = "/models/trunk";
  const starting_folders from = starting_folders_of(j, &run_);
  EXPECT_EQ(from.reference, "/models/reference");
  EXPECT_EQ(from.critic, "/models/critic");
  EXPECT_EQ(from.trunk, "/models/trunk");
  EXPECT_EQ(from.reward, folder_ / "run/models/reward") << "the option is where the reward phase starts";
}

TEST_F(StartingFolders, WithoutARunAResultHasTheShapeOfItsStart) {
  job j = with_phases({phase::sft, phase::reward, phase::ppo});
  EXPECT_EQ(starting_folders_of(j, nullptr).critic, "/models/base");
  j.model.reward = "/models/trunk";
  const starting_folders from = starting_folders_of(j, nullptr);
  EXPECT_EQ(from.policy, "/models/base");
  EXPECT_EQ(from.reference, "/models/base");
  EXPECT_EQ(from.reward, "/models/trunk");
  EXPECT_EQ(from.critic, "/models/trunk");
}

}  // namespace troupe::io
