#include "base/error.hpp"
#include "kernels/embedding.hpp"
#include "kernels/matrix.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

namespace troupe::kernels {
namespace {

using test::random_values;

struct shape {
  int64_t n, rows, d;
};

class EmbeddingTest : public testing::TestWithParam<shape> {
protected:
  EmbeddingTest() {
    to_panels(rows.data(), s.rows, s.d, panels.data());
    for (int64_t i = 0; i < s.n; ++i) {
      index.push_back(static_cast<int32_t>(i * i * 7 % s.rows));  // some rows come back
    }
  }
  size_t at(int64_t row, int64_t i) const { return static_cast<size_t>(row * s.d + i); }

  const shape s = GetParam();
  std::vector<float> rows = random_values(s.rows * s.d, 1);
  std::vector<float> panels = std::vector<float>(static_cast<size_t>(panels_size(s.rows, s.d)));
  std::vector<int32_t> index;
};

TEST_P(EmbeddingTest, ForwardCopiesOrAddsTheRow) {
  thread_pool pool(2);
  context ctx{pool};
  for (const bool accumulate : {false, true}) {
    std::vector<float> y = random_values(s.n * s.d, 2);
    const std::vector<float> before = y;
    embedding_forward(ctx, {.y_ND = y.data(),
                            .index_N = index.data(),
                            .table = panels.data(),
                            .n = s.n,
                            .rows = s.rows,
                            .d = s.d,
                            .accumulate = accumulate});
    for (int64_t n = 0; n < s.n; ++n) {
      for (int64_t i = 0; i < s.d; ++i) {
        const float row = rows[at(index[static_cast<size_t>(n)], i)];
        EXPECT_EQ(y[at(n, i)], accumulate ? before[at(n, i)] + row : row);
      }
    }
  }
}

TEST_P(EmbeddingTest, ATableInBf16GivesItsValues) {
  thread_pool pool(2);
  context ctx{pool};
  const std::vector<bf16> narrow = test::round_to_bf16(panels);
  const std::vector<float> before = random_values(s.n * s.d, 2);
  for (const bool accumulate : {false, true}) {
    std::vector<float> y = before, expected = before;
    embedding_args args{.y_ND = expected.data(),
                        .index_N = index.data(),
                        .table = panels.data(),
                        .n = s.n,
                        .rows = s.rows,
                        .d = s.d,
                        .accumulate = accumulate};
    embedding_forward(ctx, args);
    args.y_ND = y.data();
    args.table = narrow.data();
    embedding_forward(ctx, args);
    EXPECT_EQ(y, expected);
  }
}

TEST_P(EmbeddingTest, BackwardAddsRowsInRisingOrderForAnyNumberOfThreads) {
  const std::vector<float> dy = random_values(s.n * s.d, 3);
  std::vector<float> expected(rows.size(), 0.25F);
  for (int64_t n = 0; n < s.n; ++n) {
    for (int64_t i = 0; i < s.d; ++i) {
      expected[at(index[static_cast<size_t>(n)], i)] += dy[at(n, i)];
    }
  }
  std::vector<float> expected_panels(panels.size());
  to_panels(expected.data(), s.rows, s.d, expected_panels.data());
  for (const int threads : {1, 2, 3}) {
    thread_pool pool(threads);
    context ctx{pool};
    std::vector<float> dtable(panels.size());
    to_panels(std::vector<float>(rows.size(), 0.25F).data(), s.rows, s.d, dtable.data());
    embedding_backward(
        ctx,
        {.dtable = dtable.data(), .index_N = index.data(), .dy_ND = dy.data(), .n = s.n, .rows = s.rows, .d = s.d});
    EXPECT_EQ(dtable, expected_panels);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, EmbeddingTest,
                         testing::Values(shape{0, 3, 4}, shape{1, 1, 1}, shape{5, 33, 31}, shape{100, 40, 33},
                                         shape{50, 1000, 16}),
                         [](const auto& info) {
                           return std::to_string(info.param.n) + "_" + std::to_string(info.param.rows) + "_" +
                                  std::to_string(info.param.d);
                         });

TEST(EmbeddingErrorTest, AnIndexOutsideTheTableIsNamed) {
  thread_pool pool(1);
  context ctx{pool};
  std::vector<float> table(static_cast<size_t>(panels_size(3, 2)));
  std::vector<float> y(4);
  for (const int32_t bad : {-1, 3}) {
    const std::vector<int32_t> index = {0, bad};
    try {
      embedding_forward(ctx,
                        {.y_ND = y.data(), .index_N = index.data(), .table = table.data(), .n = 2, .rows = 3, .d = 2});
      ADD_FAILURE() << "no error for " << bad;
    } catch (const error& e) {
      EXPECT_EQ(e.code(), errc::bad_argument);
      EXPECT_NE(std::string(e.what()).find(std::to_string(bad) + " at row 1"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace troupe::kernels
