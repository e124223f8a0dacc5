#include "base/error.hpp"
#include "engine/arena/parameters.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace troupe::engine {
namespace {

TEST(ParameterLayoutTest, PutsEveryParameterOnACacheLineWithoutOverlap) {
  parameter_layout layout;
  layout.add_matrix("a", 33, 5);  // two panels of 32 outputs
  layout.add_vector("b", 17);
  layout.add_matrix("c", 1, 3);
  int64_t end = 0;
  for (const parameter& p : layout.all()) {
    EXPECT_EQ(p.offset % 16, 0) << p.name;
    EXPECT_GE(p.offset, end) << p.name;
    end = p.offset + p.size;
  }
  EXPECT_GE(layout.arena_size(), end);
  EXPECT_EQ(layout.at("a").size, 64 * 5);
  EXPECT_EQ(layout.parameter_count(), 33 * 5 + 17 + 3);
  EXPECT_TRUE(layout.at("a").decays());
  EXPECT_FALSE(layout.at("b").decays());
}

TEST(ParameterLayoutTest, SegmentsCoverTheArenaInOrder) {
  parameter_layout layout;
  EXPECT_EQ(layout.segments().size(), 1U);
  layout.add_matrix("a", 33, 5);
  layout.begin_segment();
  layout.add_vector("b", 17);
  layout.add_vector("c", 3);
  layout.begin_segment();
  const std::vector<arena_range> segments = layout.segments();
  ASSERT_EQ(segments.size(), 3U);
  EXPECT_EQ(segments[0].first, 0);
  EXPECT_EQ(segments[0].last, layout.at("b").offset);
  EXPECT_EQ(segments[1].first, layout.at("b").offset);
  EXPECT_EQ(segments[1].last, layout.arena_size());
  EXPECT_EQ(segments[2].size(), 0);
  EXPECT_EQ(segments[2].first, layout.arena_size());
}

TEST(ParameterLayoutTest, NamesAParameterThatIsNotThere) {
  parameter_layout layout;
  layout.add_vector("norm", 4);
  try {
    (void)layout.at("nrom");
    FAIL();
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::not_found);
    EXPECT_NE(std::string(e.what()).find("nrom"), std::string::npos);
  }
}

TEST(ParameterTest, IsReadAsItWasWritten) {
  parameter_layout layout;
  layout.add_matrix("before", 3, 3);
  layout.add_matrix("matrix", 35, 4);
  layout.add_vector("vector", 7);
  std::vector<float> arena(static_cast<size_t>(layout.arena_size()), 0.0F);
  for (const char* name : {"matrix", "vector"}) {
    std::vector<float> values(name == std::string("matrix") ? 35 * 4 : 7);
    std::iota(values.begin(), values.end(), 1.0F);
    write_parameter(layout.at(name), values, arena.data());
    EXPECT_EQ(read_parameter(layout.at(name), arena.data()), values);
  }
  EXPECT_EQ(read_parameter(layout.at("before"), arena.data()), std::vector<float>(9, 0.0F));
}

TEST(ParameterTest, RefusesAnotherNumberOfValues) {
  parameter_layout layout;
  layout.add_matrix("matrix", 2, 4);
  std::vector<float> arena(static_cast<size_t>(layout.arena_size()));
  EXPECT_THROW(write_parameter(layout.at("matrix"), std::vector<float>(7), arena.data()), error);
}

}  // namespace
}  // namespace troupe::engine
