#include "kernels/rows.hpp"
#include "support/emulation/card_test.hpp"

#include <gtest/gtest.h>

namespace troupe::kernels {
namespace {

using test::operand;
using test::widened;

class CudaRowsTest : public test::CardTest {
protected:
  operand unset(int64_t count, dtype type) const {
    return {std::vector<float>(static_cast<size_t>(count), -7.0F), type};
  }
};

constexpr int64_t shapes[][2] = {{0, 3}, {3, 0}, {1, 1}, {3, 31}, {5, 33}, {2, 768}, {2, 1100}};

TEST_P(CudaRowsTest, CopiesBetweenStridesAndTypesAndTouchesNothingElse) {
  for (const auto& [n, width] : shapes) {
    for (const dtype to_type : {dtype::f32, dtype::bf16}) {
      const int64_t to_stride = width + 2, from_stride = width + 5;
      operand from = random_operand(n * from_stride, 1);
      operand to = unset(n * to_stride, to_type), twin = to;
      const copy_rows_args args{
          .from = from.data(), .n = n, .width = width, .to_stride = to_stride, .from_stride = from_stride};
      copy_rows_args on_card_args = args, on_host_args = args;
      on_card_args.to = to.data();
      on_host_args.to = twin.data();
      copy_rows(on_card, on_card_args);
      copy_rows(on_host, on_host_args);
      EXPECT_EQ(to, twin);
      std::vector<float> want = unset(n * to_stride, to_type).values();
      for (int64_t i = 0; i < n * width; ++i) {
        want[static_cast<size_t>(i / width * to_stride + i % width)] =
            from.values()[static_cast<size_t>(i / width * from_stride + i % width)];
      }
      EXPECT_EQ(to, operand(want, to_type));
    }
  }
}

TEST_P(CudaRowsTest, ScatterPutsBackWhatGatherTookAndZeroesTheRest) {
  for (const auto& [n, d] : shapes) {
    std::vector<int64_t> row;
    for (int64_t i = n - 1; i >= 0; i -= 2) {
      row.push_back(i);
    }
    const auto rows = static_cast<int64_t>(row.size());
    operand from = random_operand(n * d, 2);
    operand gathered = unset(rows * d, type()), scattered = unset(n * d, type());
    gather_rows(on_card, {gathered.data(), from.data(), row.data(), rows, d});
    scatter_rows(on_card, {scattered.data(), gathered.data(), row.data(), n, rows, d});
    std::vector<float> want = from.values();
    for (int64_t i = 0; i < n * d; ++i) {
      if (i / d % 2 != (n - 1) % 2) {
        want[static_cast<size_t>(i)] = 0.0F;
      }
    }
    EXPECT_EQ(scattered.values(), want);
    operand host_from = widened(from), host_gathered = unset(rows * d, dtype::f32);
    gather_rows(on_host, {host_gathered.data(), host_from.data(), row.data(), rows, d});
    EXPECT_EQ(gathered, host_gathered);
  }
}

TEST_P(CudaRowsTest, ZeroesWhatItIsTold) {
  for (const int64_t count : {0, 1, 256, 1000}) {
    operand values = unset(count + 1, type());
    zero(on_card, values.data(), count);
    std::vector<float> want(static_cast<size_t>(count + 1));
    want.back() = -7.0F;
    EXPECT_EQ(values.values(), want);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaRowsTest, test::card_cases(), test::card_case_name);

}  // namespace
}  // namespace troupe::kernels
