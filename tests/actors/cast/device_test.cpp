// The actors of a rank, by the names under which a hang tells of them.
#include "actors/cast/device.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace troupe::actors {
namespace {

TEST(Role, EveryOneHasANameOfItsOwn) {
  std::set<std::string> names;
  for (size_t i = 0; i < roles; ++i) {
    names.insert(to_string(static_cast<role>(i)));
  }
  EXPECT_EQ(names.size(), roles);
  EXPECT_EQ(names.count("reward model optimizer"), 1U);
}

TEST(Device, RolesHaveSignsOfLifeOfTheirOwn) {
  device on(1);
  on.pulse_of(role::critic).touch();
  for (size_t i = 0; i < roles; ++i) {
    EXPECT_EQ(on.pulse_of(static_cast<role>(i)).count(), static_cast<role>(i) == role::critic ? 1U : 0U);
  }
  EXPECT_THROW(on.pulse_of(static_cast<role>(roles)), std::out_of_range);
}

}  // namespace
}  // namespace troupe::actors
