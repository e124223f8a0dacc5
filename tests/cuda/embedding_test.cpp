#include "kernels/embedding.hpp"
#include "kernels/matrix.hpp"
#include "support/emulation/card_test.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace troupe::kernels {
namespace {

using test::operand;
using test::widened;

struct shape {
  int64_t n, rows, d;
};
constexpr shape shapes[] = {{0, 3, 5}, {1, 1, 1}, {9, 40, 31}, {40, 7, 33}, {5, 70, 1100}};

/// Tokens, most of which occur more than once.
std::vector<int32_t> tokens(const shape& s) {
  std::vector<int32_t> index;
  for (int64_t i = 0; i < s.n; ++i) {
    index.push_back(static_cast<int32_t>(i * i * 7 % s.rows));
  }
  return index;
}

/// The rows of dy by rising token, as embedding_backward_args has them.
struct sorted_rows {
  explicit sorted_rows(const std::vector<int32_t>& index) : row_N(index.size()) {
    std::iota(row_N.begin(), row_N.end(), 0);
    const auto token = [&](int32_t row) { return index[static_cast<size_t>(row)]; };
    std::stable_sort(row_N.begin(), row_N.end(), [&](int32_t a, int32_t b) { return token(a) < token(b); });
    for (size_t i = 0; i < row_N.size(); ++i) {
      if (i == 0 || token(row_N[i]) != token(row_N[i - 1])) {
        begin_U1.push_back(static_cast<int32_t>(i));
      }
    }
    distinct = static_cast<int64_t>(begin_U1.size());
    begin_U1.push_back(static_cast<int32_t>(row_N.size()));
  }
  std::vector<int32_t> row_N, begin_U1;
  int64_t distinct = 0;
};

using CudaEmbeddingTest = test::CardTest;

TEST_P(CudaEmbeddingTest, LooksUpAndAddsAsTheHostDoes) {
  for (const shape& s : shapes) {
    const std::vector<int32_t> index = tokens(s);
    operand table = random_operand(s.rows * s.d, 1);
    std::vector<float> panels(static_cast<size_t>(panels_size(s.rows, s.d)));
    to_panels(table.values().data(), s.rows, s.d, panels.data());
    for (const bool accumulate : {false, true}) {
      operand y = random_operand(s.n * s.d, 2), twin = widened(y);
      embedding_args args{.index_N = index.data(), .n = s.n, .rows = s.rows, .d = s.d, .accumulate = accumulate};
      args.y_ND = y.data();
      args.table = table.data();
      embedding_forward(on_card, args);
      args.y_ND = twin.data();
      args.table = panels.data();
      embedding_forward(on_host, args);
      EXPECT_EQ(y, operand(twin.values(), type()));
    }
  }
}

TEST_P(CudaEmbeddingTest, GradientsOfEachRowAreAddedInRisingOrder) {
  for (const shape& s : shapes) {
    const std::vector<int32_t> index = tokens(s);
    const sorted_rows sorted(index);
    operand dy = random_operand(s.n * s.d, 3), host_dy = widened(dy);
    std::vector<float> dtable = test::random_values(s.rows * s.d, 4);
    std::vector<double> want(dtable.begin(), dtable.end());
    std::vector<float> panels(static_cast<size_t>(panels_size(s.rows, s.d))), twin(dtable.size());
    to_panels(dtable.data(), s.rows, s.d, panels.data());
    embedding_backward_args args{.index_N = index.data(), .n = s.n, .rows = s.rows, .d = s.d};
    args.dtable = panels.data();
    args.dy_ND = host_dy.data();
    embedding_backward(on_host, args);
    from_panels(panels.data(), s.rows, s.d, twin.data());
    args.dtable = dtable.data();
    args.dy_ND = dy.data();
    args.row_N = sorted.row_N.data();
    args.begin_U1 = sorted.begin_U1.data();
    args.distinct = sorted.distinct;
    embedding_backward(on_card, args);
    EXPECT_EQ(dtable, twin);
    const std::vector<float> gradients = dy.values();
    for (int64_t i = 0; i < s.n * s.d; ++i) {
      want[static_cast<size_t>(index[static_cast<size_t>(i / s.d)] * s.d + i % s.d)] +=
          static_cast<double>(gradients[static_cast<size_t>(i)]);
    }
    EXPECT_TRUE(test::near_oracle("embedding backward", type(), dtable, want, 1e-12));
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaEmbeddingTest, test::card_cases(), test::card_case_name);

}  // namespace
}  // namespace troupe::kernels
