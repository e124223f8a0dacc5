#include "base/reals.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace troupe {
namespace {

TEST(RealsTest, FloatsComeOutAsTheyWentIn) {
  std::vector<float> values(4);
  const reals all = values.data();
  EXPECT_EQ(all.type(), dtype::f32);
  float* back = all;
  EXPECT_EQ(back, values.data());
  const const_reals third = const_reals(all) + 2;
  const float* third_back = third;
  EXPECT_EQ(third_back, values.data() + 2);
}

TEST(RealsTest, ElementsAreCountedByTheirType) {
  std::vector<bf16> values(4);
  const const_reals third = const_reals(values.data()) + 2;
  EXPECT_EQ(third.type(), dtype::bf16);
  EXPECT_EQ(third.as<bf16>(), values.data() + 2);
}

TEST(RealsTest, NullIsNull) {
  EXPECT_TRUE(const_reals() == nullptr);
  EXPECT_TRUE(const_reals(nullptr) == nullptr);
  EXPECT_TRUE(const_reals(static_cast<const float*>(nullptr)) == nullptr);
  EXPECT_TRUE(const_reals(nullptr, dtype::bf16) == nullptr);
  const float value = 1;
  EXPECT_FALSE(const_reals(&value) == nullptr);
}

TEST(RealsDeathTest, HalvesAreNotReadAsFloats) {
  const bf16 value;
  const const_reals halves = &value;
  EXPECT_DEATH(static_cast<void>(static_cast<const float*>(halves)), "type_");
}

}  // namespace
}  // namespace troupe
