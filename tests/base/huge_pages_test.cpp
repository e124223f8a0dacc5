#include "base/aligned.hpp"
#include "base/huge_pages.hpp"
#include "support/page_advice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace troupe {
namespace {

using test::mapping_flags;

class HugePagesTest : public testing::Test {
protected:
  void SetUp() override {
    if (!test::has_huge_pages()) {
      GTEST_SKIP() << "this kernel has no huge pages";
    }
  }
};

TEST_F(HugePagesTest, ALargeBufferAsksForThemAndIsZero) {
  const aligned_buffer<float> buffer(int64_t{3} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % huge_page_bytes, 0U);
  EXPECT_NE(mapping_flags(buffer.data()).find(" hg "), std::string::npos) << mapping_flags(buffer.data());
  EXPECT_TRUE(std::all_of(buffer.begin(), buffer.end(), [](float x) { return x == 0; }));
}

TEST_F(HugePagesTest, AdviceChangesNoValueAndStaysWithinTheRange) {
  aligned_buffer<float> buffer(int64_t{3} << 20);
  std::fill(buffer.begin(), buffer.end(), 2.0F);
  const int64_t quarter = buffer.size() / 4;
  prefer_small_pages(buffer.data() + quarter, static_cast<size_t>(quarter) * sizeof(float));
  EXPECT_NE(mapping_flags(buffer.data() + quarter + quarter / 2).find(" nh "), std::string::npos);
  EXPECT_NE(mapping_flags(buffer.data()).find(" hg "), std::string::npos);
  EXPECT_NE(mapping_flags(buffer.data() + 3 * quarter).find(" hg "), std::string::npos);
  EXPECT_TRUE(std::all_of(buffer.begin(), buffer.end(), [](float x) { return x == 2; }));
}

}  // namespace
}  // namespace troupe
