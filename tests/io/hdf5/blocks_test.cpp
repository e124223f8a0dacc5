#include "io/hdf5/hdf5.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace troupe::io {
namespace {

int64_t size_of_shape(const std::vector<int64_t>& shape) {
  int64_t elements = 1;
  for (const int64_t extent : shape) {
    elements *= extent;
  }
  return elements;
}

/// The flat positions of a block, by counting through the whole array and asking each index whether it is inside.
std::vector<int64_t> positions_of(const array_block& block, const std::vector<int64_t>& shape) {
  std::vector<int64_t> positions;
  for (int64_t flat = 0; flat < size_of_shape(shape); ++flat) {
    bool inside = true;
    int64_t rest = flat;
    for (size_t d = shape.size(); d-- > 0;) {
      const int64_t index = rest % shape[d];
      rest /= shape[d];
      inside = inside && index >= block.start[d] && index < block.start[d] + block.extent[d];
    }
    if (inside) {
      positions.push_back(flat);
    }
  }
  return positions;
}

TEST(Hdf5BlocksTest, EveryRangeIsCoveredOnceAndInOrder) {
  const std::vector<std::vector<int64_t>> shapes{{1}, {7}, {3, 4}, {1, 5}, {5, 1}, {2, 3, 4}, {2, 1, 3, 2}};
  for (const std::vector<int64_t>& shape : shapes) {
    const int64_t elements = size_of_shape(shape);
    for (int64_t begin = 0; begin <= elements; ++begin) {
      for (int64_t end = begin; end <= elements; ++end) {
        std::vector<int64_t> covered;
        const std::vector<array_block> blocks = blocks_of_range(shape, begin, end);
        EXPECT_LE(blocks.size(), 2 * shape.size() - 1);
        for (const array_block& block : blocks) {
          const std::vector<int64_t> positions = positions_of(block, shape);
          covered.insert(covered.end(), positions.begin(), positions.end());
        }
        std::vector<int64_t> expected;
        for (int64_t at = begin; at < end; ++at) {
          expected.push_back(at);
        }
        EXPECT_EQ(covered, expected) << "[" << begin << ", " << end << ") of an array of " << elements;
      }
    }
  }
}

TEST(Hdf5BlocksTest, AScalarIsOneBlockWithoutDimensions) {
  EXPECT_TRUE(blocks_of_range({}, 0, 0).empty());
  const std::vector<array_block> blocks = blocks_of_range({}, 0, 1);
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_TRUE(blocks[0].start.empty());
  EXPECT_TRUE(blocks[0].extent.empty());
}

}  // namespace
}  // namespace troupe::io
