#include "io/job/phases.hpp"

#include <gtest/gtest.h>

namespace troupe::io {
namespace {

TEST(Phases, AreFoundByTheirNames) {
  for (const phase known : {phase::pairs, phase::sft, phase::reward, phase::ppo, phase::replay}) {
    EXPECT_EQ(phase_of(to_string(known)), known) << to_string(known);
  }
  EXPECT_EQ(phase_of("dress rehearsal"), std::nullopt);
  EXPECT_EQ(phase_of(""), std::nullopt);
}

TEST(Phases, ThoseAfterOneAreTheRunsOwnInItsOrder) {
  const std::vector<phase> run = {phase::sft, phase::pairs, phase::ppo};
  EXPECT_EQ(phases_after(run, phase::sft), (std::vector{phase::pairs, phase::ppo}));
  EXPECT_EQ(phases_after(run, phase::ppo), std::vector<phase>{});
  EXPECT_EQ(phases_after(run, phase::reward), std::vector<phase>{}) << "it is not one of the run";
}

}  // namespace
}  // namespace troupe::io
