#include "base/error.hpp"
#include "engine/arena/shards.hpp"
#include "kernels/matrix.hpp"
#include "support/model_fixture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

class ShardPlan : public testing::TestWithParam<int> {
protected:
  test::loaded_model model_ = test::load_model("tiny/gpt2");
  std::vector<arena_range> segments_ = model_.net.segments();
  shard_plan plan_{model_.net.layout(), segments_, GetParam()};
};

TEST_P(ShardPlan, PartsAreWholeUnitsAndCoverEachSegment) {
  std::vector<int64_t> bounds = {0};
  for (const arena_range& unit : plan_.units()) {
    EXPECT_EQ(unit.first, bounds.back());
    bounds.push_back(unit.last);
  }
  EXPECT_EQ(bounds.back(), plan_.arena_size());
  for (int64_t s = 0; s < plan_.segments(); ++s) {
    int64_t end = plan_.segment(s).first;
    for (int r = 0; r < plan_.ranks(); ++r) {
      const arena_range part = plan_.part(s, r);
      EXPECT_EQ(part.first, end);
      EXPECT_TRUE(std::binary_search(bounds.begin(), bounds.end(), part.last));
      EXPECT_EQ(plan_.offset_R1(s)[static_cast<size_t>(r)], part.first - plan_.segment(s).first);
      const arena_range units = plan_.units_of(s, r);
      if (units.size() > 0) {
        EXPECT_EQ(plan_.units()[static_cast<size_t>(units.first)].first, part.first);
        EXPECT_EQ(plan_.units()[static_cast<size_t>(units.last) - 1].last, part.last);
      }
      end = part.last;
    }
    EXPECT_EQ(end, plan_.segment(s).last);
  }
}

TEST_P(ShardPlan, PartsAreAsEvenAsUnitsAllow) {
  int64_t largest = 0;
  for (const arena_range& unit : plan_.units()) {
    largest = std::max(largest, unit.size());
  }
  for (int64_t s = 0; s < plan_.segments(); ++s) {
    for (int r = 0; r < plan_.ranks(); ++r) {
      EXPECT_LE(std::abs(plan_.part(s, r).size() - plan_.segment(s).size() / plan_.ranks()), largest);
    }
  }
}

TEST_P(ShardPlan, RowsOfAllRanksAreAllRowsOnce) {
  std::map<std::string, int64_t> rows;
  for (int r = 0; r < plan_.ranks(); ++r) {
    for (const parameter_rows& one : plan_.rows(r)) {
      EXPECT_LT(one.first_row, one.last_row);
      EXPECT_EQ(one.first_row, rows[one.of->name]) << one.of->name;
      rows[one.of->name] = one.last_row;
    }
  }
  for (const parameter& p : model_.net.layout().all()) {
    EXPECT_EQ(rows[p.name], p.shape[0]) << p.name;
  }
}

/// An arena put together from shards that were written and read by rows.
TEST_P(ShardPlan, RowsStandInTheShardWhereTheyStandInTheArena) {
  std::vector<float> arena(static_cast<size_t>(plan_.arena_size()));
  for (int r = 0; r < plan_.ranks(); ++r) {
    std::vector<float> shard(static_cast<size_t>(plan_.shard_size(r)));
    for (const parameter_rows& one : plan_.rows(r)) {
      const int64_t count = one.last_row - one.first_row;
      const auto values = read_rows(*one.of, count, model_.weights.data() + one.arena_offset);
      EXPECT_EQ(static_cast<int64_t>(values.size()), one.end() - one.begin());
      const auto whole = read_parameter(*one.of, model_.weights.data());
      EXPECT_TRUE(std::equal(values.begin(), values.end(), whole.begin() + one.begin())) << one.of->name;
      write_rows(*one.of, count, values, shard.data() + one.shard_offset);
    }
    for (int64_t s = 0; s < plan_.segments(); ++s) {
      const arena_range part = plan_.part(s, r);
      std::copy_n(shard.begin() + plan_.shard_offset(s, r), part.size(), arena.begin() + part.first);
    }
  }
  EXPECT_EQ(arena, std::vector<float>(model_.weights.begin(), model_.weights.end()));
}

INSTANTIATE_TEST_SUITE_P(Ranks, ShardPlan, testing::Values(1, 2, 3, 5, 64));

TEST(ShardPlanErrors, SegmentsMustCoverTheLayoutAndCutNoParameter) {
  parameter_layout layout;
  layout.add_matrix("w", 64, 4);
  layout.add_vector("b", 64);
  const std::vector<arena_range> good = {{0, 256}, {256, 320}};
  EXPECT_EQ(shard_plan(layout, good, 2).shard_size(0), 128 + 64);
  EXPECT_THROW(shard_plan(layout, good, 0), error);
  EXPECT_THROW(shard_plan(layout, std::vector<arena_range>{{0, 256}}, 2), error);
  EXPECT_THROW(shard_plan(layout, std::vector<arena_range>{{0, 128}, {128, 320}}, 2), error);
  EXPECT_THROW(shard_plan(layout, std::vector<arena_range>{{0, 256}, {272, 320}}, 2), error);
}

}  // namespace
}  // namespace troupe::engine
