#include "base/error.hpp"
#include "engine/tensor_parallel/columns.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

namespace troupe::engine {
namespace {

model_description shape(int64_t heads, int64_t kv_heads) {
  model_description d;
  d.heads = heads;
  d.kv_heads = kv_heads;
  d.head_width = 4;
  d.width = 22;
  d.feed_forward = 30;
  d.vocabulary = 40;
  return d;
}

TEST(ColumnSplitTest, EveryRankHasItsKeyValueHeadsWithAllTheirQueries) {
  const column_split split = split_columns(shape(8, 4), 2, 3);
  EXPECT_EQ(split.kv_heads, (row_range{3, 4}));
  EXPECT_EQ(split.heads, (row_range{6, 8}));
  EXPECT_EQ(split.query_R1, (std::vector<int64_t>{0, 16, 24, 32}));
  EXPECT_EQ(split.units, (row_range{20, 30}));
  EXPECT_EQ(split.columns, (row_range{15, 22}));
  EXPECT_EQ(split.column_R1, (std::vector<int64_t>{0, 8, 15, 22}));
  EXPECT_EQ(split.tokens, (row_range{27, 40}));
  EXPECT_EQ(split.token_R1, (std::vector<int64_t>{0, 14, 27, 40}));
}

TEST(ColumnSplitTest, RanksShareAKeyValueHeadWhereThereAreMoreRanks) {
  const std::vector<row_range> kv_heads = {{0, 1}, {0, 1}, {0, 1}, {1, 2}, {1, 2}};
  const std::vector<row_range> heads = {{0, 2}, {2, 3}, {3, 4}, {4, 6}, {6, 8}};
  for (int r = 0; r < 5; ++r) {
    const column_split split = split_columns(shape(8, 2), r, 5);
    EXPECT_EQ(split.kv_heads, kv_heads[static_cast<size_t>(r)]) << r;
    EXPECT_EQ(split.heads, heads[static_cast<size_t>(r)]) << r;
  }
}

TEST(ColumnSplitTest, EveryHeadIsOneRanksAndReadsOneOfItsKeyValueHeads) {
  for (const auto& [heads, kv_heads] : {std::pair{12, 12}, {12, 4}, {12, 3}, {12, 1}, {14, 2}}) {
    for (int ranks = 1; ranks <= heads; ++ranks) {
      int64_t next = 0;
      for (int r = 0; r < ranks; ++r) {
        const column_split split = split_columns(shape(heads, kv_heads), r, ranks);
        const int64_t queries = heads / kv_heads;
        EXPECT_EQ(split.heads.first, next);
        EXPECT_GT(split.heads.size(), 0);
        EXPECT_EQ(split.heads.size() % split.kv_heads.size(), 0);
        for (int64_t h = split.heads.first; h < split.heads.last; ++h) {  // as attention finds it among the rank's own
          const int64_t own = (h - split.heads.first) / (split.heads.size() / split.kv_heads.size());
          EXPECT_EQ(split.kv_heads.first + own, h / queries) << heads << " " << kv_heads << " " << ranks << " " << r;
        }
        next = split.heads.last;
      }
      EXPECT_EQ(next, heads);
    }
  }
}

TEST(ColumnSplitTest, MoreRanksThanHeadsAreRefused) {
  EXPECT_THROW(split_columns(shape(4, 2), 0, 5), error);
  EXPECT_THROW(split_columns(shape(4, 2), 4, 4), error);
  EXPECT_THROW(split_columns(shape(4, 2), 0, 0), error);
}

TEST(TokenTurnsTest, AreThoseOfTheRanksThatHaveTheTokensInTheCallsOrder) {
  const column_split split = split_columns(shape(8, 4), 0, 3);
  const token_turns turns = turns_of(split, std::vector<int32_t>{39, 0, 14, 13, 27, 0});
  EXPECT_EQ(turns.row_R1, (std::vector<int64_t>{0, 3, 4, 6}));
  EXPECT_EQ(turns.place_N, (std::vector<int64_t>{4, 0, 3, 1, 5, 2}));
  const token_turns last = turns_of(split, std::vector<int32_t>{30});
  EXPECT_EQ(last.row_R1, (std::vector<int64_t>{0, 0, 0, 1}));
  EXPECT_THROW(turns_of(split, std::vector<int32_t>{3, 40}), error);
  EXPECT_THROW(turns_of(split, std::vector<int32_t>{-1}), error);
}

TEST(GatherColumnsTest, PartsOfUnevenWidthStandSideBySide) {
  const std::vector<int64_t> offset_R1{0, 3, 3, 8};
  for (const int64_t n : {0, 1, 2, 7}) {
    test::as_local_ranks(3, [&](world& w) {
      thread_pool pool(1);
      context ctx{pool};
      const communicator_ptr group = w.open("columns");
      const auto value = [](int64_t row, int64_t column) { return static_cast<float>(row * 100 + column); };
      std::vector<float> parts(static_cast<size_t>(n * 8), -1);
      std::vector<float> whole(parts);
      const int64_t first = offset_R1[static_cast<size_t>(w.rank())];
      const int64_t width = offset_R1[static_cast<size_t>(w.rank()) + 1] - first;
      for (int64_t i = 0; i < n * width; ++i) {
        parts[static_cast<size_t>(n * first + i)] = value(i / width, first + i % width);
      }
      gather_columns(ctx, *group, offset_R1, n, parts.data(), whole.data());
      for (int64_t i = 0; i < n * 8; ++i) {
        EXPECT_EQ(whole[static_cast<size_t>(i)], value(i / 8, i % 8)) << "rank " << w.rank() << " of " << n << " rows";
      }
      if (n == 1) {
        parts.resize(8);
        gather_columns(ctx, *group, offset_R1, 1, parts.data(), parts.data());
        EXPECT_EQ(parts, whole);
      }
    });
  }
}

}  // namespace
}  // namespace troupe::engine
