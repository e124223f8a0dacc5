/// Pieces of arrays in shared memory: every value that is there, and 0 where there is none.
#include "kernels/cuda/shared_rows.cuh"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace troupe::kernels::cuda {
namespace {

using emulation::thread_order;

/// Does its work at once.
struct plain_stream : CUstream_st {
  explicit plain_stream(thread_order order) { how = {.order = order, .seed = 3}; }
  void add(std::function<void()> work) override { work(); }
};

template <int Threads, int Rows, int Columns> void copy_kernel(bf16* to, row_source from) {
  auto& rows = block_shared<shared_rows<Rows, Columns>>();
  fetch_rows<Threads>(rows, from);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < Rows * Columns; i += Threads) {
    const int column = i % Columns;
    to[i] = rows.at(i / Columns, column / 8 * 8)[column % 8];
  }
}

/// An array of exactly the rows that are there. It begins `shift` values behind a multiple of 16 bytes.
struct source {
  source(int64_t rows, int64_t columns, int64_t stride, int64_t shift)
      : stride_(stride), shift_(shift),
        values_(test::random_values(shift + (rows > 0 ? (rows - 1) * stride + columns : 0), 1)) {
    for (const float value : values_) {
      array_.push_back(to_bf16(value));
    }
    array_.reserve(1);  // an address, even of nothing
    given_ = {array_.data() + shift, stride, rows, columns, rows_aligned(array_.data() + shift, stride)};
  }

  const row_source& given() const { return given_; }
  uint16_t expected(int64_t row, int64_t column) const {
    const bool there = row < given_.rows && column < given_.columns;
    return there ? array_[static_cast<size_t>(shift_ + row * stride_ + column)].bits : uint16_t{0};
  }

private:
  int64_t stride_, shift_;
  std::vector<float> values_;
  std::vector<bf16> array_;
  row_source given_;
};

/// Fewer rows and columns than fit, as many, and more; none at all.
template <int Threads, int Rows, int Columns> void expect_copies() {
  for (const thread_order order : {thread_order::rising, thread_order::falling, thread_order::shuffled}) {
    plain_stream stream(order);
    for (const int64_t rows : {0, 1, Rows - 1, Rows, Rows + 3}) {
      for (const int64_t columns : {0, 1, Columns / 2 + 3, Columns - 8, Columns, Columns + 8}) {
        for (const int64_t shift : {0, 1, 8}) {
          for (const int64_t apart : {0, 3}) {
            const source from(rows, columns, (columns + 7) / 8 * 8 + apart, shift);
            std::vector<bf16> to(Rows * Columns);
            launch(copy_kernel<Threads, Rows, Columns>, dim3(1), dim3(Threads), &stream, to.data(), from.given());
            int64_t differ = 0;
            for (int64_t i = 0; i < Rows * Columns; ++i) {
              differ += to[static_cast<size_t>(i)].bits == from.expected(i / Columns, i % Columns) ? 0 : 1;
            }
            EXPECT_EQ(differ, 0) << Threads << " threads, " << Rows << " x " << Columns << ": " << rows << " rows of "
                                 << columns << ", shift " << shift << ", apart " << apart;
          }
        }
      }
    }
  }
}

/// The shapes that kernels have: pieces of a row that divide the threads, and 10 or 12 that do not.
TEST(SharedRowsTest, OneWarp) {
  expect_copies<32, 64, 16>();
  expect_copies<32, 64, 80>();
  expect_copies<32, 64, 96>();
  expect_copies<32, 64, 128>();
  expect_copies<32, 64, 256>();
}

TEST(SharedRowsTest, BlocksOfFourAndEightWarps) {
  expect_copies<128, 16, 128>();
  expect_copies<128, 8, 128>();
  expect_copies<128, 16, 80>();
  expect_copies<128, 32, 16>();
  expect_copies<128, 64, 96>();
  expect_copies<256, 128, 32>();
  expect_copies<256, 32, 128>();
}

TEST(SharedRowsTest, StagesGoRound) {
  int stage = 0;
  for (int step = 0; step < 30; ++step, stage = next_stage<12>(stage)) {
    EXPECT_EQ(stage, step % 12);
  }
  EXPECT_EQ(next_stage<1>(0), 0);
}

}  // namespace
}  // namespace troupe::kernels::cuda
