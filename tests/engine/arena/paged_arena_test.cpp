#include "engine/arena/paged_arena.hpp"
#include "support/page_advice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

namespace troupe::engine {
namespace {

constexpr int64_t size = int64_t{3} << 20;

bool asks_for_huge_pages(const paged_arena& arena) {
  return test::mapping_flags(arena.data() + size / 2).find(" hg ") != std::string::npos;
}

TEST(PagedArenaTest, ReleasedFloatsAreZeroAndTheOthersStay) {
  paged_arena arena(size);
  float* const values = arena.data();
  std::fill_n(values, size, 3.0F);
  arena.release(1000, size - 77);
  for (int64_t i = 0; i < size; ++i) {
    ASSERT_EQ(values[i], i >= 1000 && i < size - 77 ? 0.0F : 3.0F) << i;
  }
}

TEST(PagedArenaTest, OfBfloat16TakesHalfAndIsReleasedByItsOwnValues) {
  paged_arena arena(size, dtype::bf16);
  EXPECT_EQ(arena.bytes(), size * 2);
  bf16* const values = arena.data().as<bf16>();
  std::fill_n(values, size, to_bf16(3.0F));
  arena.release(1001, size - 77);
  for (int64_t i = 0; i < size; ++i) {
    ASSERT_EQ(to_float(values[i]), i >= 1001 && i < size - 77 ? 0.0F : 3.0F) << i;
  }
  const paged_arena moved = std::move(arena);
  EXPECT_EQ(moved.type(), dtype::bf16);
}

TEST(PagedArenaTest, PagesAreHugeUntilSomethingIsReleased) {
  if (!test::has_huge_pages()) {
    GTEST_SKIP() << "this kernel has no huge pages";
  }
  paged_arena arena(size);
  EXPECT_TRUE(asks_for_huge_pages(arena));
  arena.release(5, 5);
  EXPECT_TRUE(asks_for_huge_pages(arena)) << "nothing was released";
  arena.release(0, 10);
  EXPECT_FALSE(asks_for_huge_pages(arena));
  const paged_arena moved = std::move(arena);
  EXPECT_FALSE(asks_for_huge_pages(moved));
}

}  // namespace
}  // namespace troupe::engine
