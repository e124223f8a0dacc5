/// What the emulation of kernels finds, and what its operations give.
#include "kernels/cuda/thread.cuh"
#include "support/emulation/evidence.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include "cuda/planted_bugs.hpp"
#include <cmath>
#include <string>
#include <vector>

namespace troupe::kernels::cuda {
namespace {

using emulation::thread_order;

/// Does its work at once.
struct plain_stream : CUstream_st {
  explicit plain_stream(thread_order order = thread_order::rising) { how = {.order = order, .seed = 3}; }
  void add(std::function<void()> work) override { work(); }
};

constexpr thread_order orders[] = {thread_order::rising, thread_order::falling, thread_order::shuffled};

/// What the emulation says of a kernel.
template <class Kernel> std::string complaint(const Kernel& kernel) {
  plain_stream stream;
  bug_line = 0;
  try {
    kernel(&stream);
  } catch (const emulation::failure& found) {
    return found.what();
  }
  return "";
}

std::string bug_place() { return "planted_bugs.cu:" + std::to_string(bug_line); }

void expect_all(const std::string& text, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << '"' << text << "\" has no \"" << part << '"';
  }
}

TEST(EmulationTest, AMissingBarrierIsSeenByTheOrderOfThreads) {
  std::vector<std::vector<float>> results;
  for (const thread_order order : orders) {
    plain_stream stream(order);
    std::vector<float> y(64);
    no_barrier(&stream, y.data());
    results.push_back(y);
  }
  // In rising order a thread of the lower half reads what is not yet written.
  EXPECT_TRUE(std::isnan(results[0][0]));
  EXPECT_EQ(results[0][63], 0.0F);
  EXPECT_EQ(results[1][0], 63.0F);
  EXPECT_TRUE(std::isnan(results[1][63]));
  EXPECT_NE(std::isnan(results[2][5]), std::isnan(results[2][58]));
  emulation::note_found_bug("no_barrier");
}

TEST(EmulationTest, ABarrierInABranchIsNamedWithItsLine) {
  std::vector<float> y(64);
  const std::string text = complaint([&](stream_t stream) { barrier_in_a_branch(stream, y.data()); });
  expect_all(text, {"thread (0, 0, 0) of block (0, 0, 0)", bug_place(), "24 of 64 have ended"});
  emulation::note_found_bug("barrier_in_a_branch");
}

TEST(EmulationTest, TwoBarriersAreNotOne) {
  std::vector<float> y(64);
  const std::string text = complaint([&](stream_t stream) { two_barriers(stream, y.data()); });
  const std::string first = "planted_bugs.cu:" + std::to_string(bug_line - 3);
  expect_all(text, {"thread (32, 0, 0)", bug_place(), "others to the barrier of", first});
  emulation::note_found_bug("two_barriers");
}

TEST(EmulationTest, AShuffleInABranchIsNamedWithItsLine) {
  std::vector<float> y(64);
  const std::string text = complaint([&](stream_t stream) { shuffle_in_a_branch(stream, y.data()); });
  expect_all(text, {"thread (0, 0, 0)", "shfl_xor", bug_place(), "for threads that do not come"});
  emulation::note_found_bug("shuffle_in_a_branch");
}

TEST(EmulationTest, ACopyThatIsNotWaitedForIsNotThere) {
  plain_stream stream;
  std::vector<float> y(64);
  alignas(16) float x[64] = {};
  copy_not_waited_for(&stream, y.data(), x);
  for (const float value : y) {
    EXPECT_TRUE(std::isnan(value));
  }
  emulation::note_found_bug("copy_not_waited_for");
}

#ifdef __SANITIZE_ADDRESS__
TEST(EmulationDeathTest, WritesPastArraysAreForAddressSanitizer) {
  plain_stream stream;
  std::vector<float> y(64);
  EXPECT_DEATH(write_past_global_memory(&stream, y.data()),
               "heap-buffer-overflow(.|\n)*write_past_global_memory_kernel");
  emulation::note_found_bug("write_past_global_memory");
  EXPECT_DEATH(write_past_shared_memory(&stream, y.data()),
               "heap-buffer-overflow(.|\n)*write_past_shared_memory_kernel");
  emulation::note_found_bug("write_past_shared_memory");
}
#else
TEST(EmulationTest, WritesPastArraysAreForAddressSanitizer) {
  // Without it the same kernels run and say nothing: this test under AddressSanitizer finds them.
  plain_stream stream;
  std::vector<float> y(65);
  write_past_global_memory(&stream, y.data());
  EXPECT_EQ(y[64], 1.0F);
}
#endif

TEST(EmulationTest, LaunchesThatACardRefusesAreRefused) {
  const auto nothing = [] {};
  for (const emulation::launch_shape& shape : {emulation::launch_shape{dim3(0), dim3(32)},
                                               {dim3(1), dim3(0)},
                                               {dim3(1), dim3(33)},
                                               {dim3(1), dim3(1056)},
                                               {dim3(1, 65536), dim3(32)},
                                               {dim3(1), dim3(1, 1, 96)}}) {
    EXPECT_THROW(emulation::run_grid(shape, {}, nothing), emulation::failure);
  }
}

TEST(EmulationTest, ThreadsOfAGridKnowWhereTheyStand) {
  std::vector<int> seen(2 * 3 * 64);
  emulation::run_grid({dim3(2, 3), dim3(16, 4)}, {}, [&] {
    const unsigned block = blockIdx.y * gridDim.x + blockIdx.x;
    ++seen[block * 64 + threadIdx.y * blockDim.x + threadIdx.x];
    EXPECT_EQ(emulation::running->warp, static_cast<int>(threadIdx.y / 2));
  });
  EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
}

TEST(EmulationTest, WhatRanIsCounted) {
  const emulation::counters before = emulation::counted();
  emulation::run_grid({dim3(3), dim3(64)}, {}, [] {
    __syncthreads();
    __syncwarp();
    __syncthreads();
  });
  const emulation::counters after = emulation::counted();
  EXPECT_EQ(after.kernels - before.kernels, 1U);
  EXPECT_EQ(after.blocks - before.blocks, 3U);
  EXPECT_EQ(after.threads - before.threads, 3 * 64U);
  EXPECT_EQ(after.barriers - before.barriers, 3 * 2U);
  EXPECT_EQ(after.warp_operations - before.warp_operations, 3 * 2U);
  // Begins, goes on after each barrier, and after the warp's operation where it was not the last to come.
  EXPECT_EQ(after.switches - before.switches, 3 * (64 * 3 + 62U));
}

TEST(EmulationTest, WarpOperationsGiveEachLaneItsShare) {
  for (const thread_order order : orders) {
    emulation::run_grid({dim3(1), dim3(64)}, {.order = order, .seed = 5}, [] {
      const int lane = emulation::running->lane, base = emulation::running->warp * 100;
      EXPECT_EQ(__shfl_xor_sync(~0U, base + lane, 5), base + (lane ^ 5));
      EXPECT_EQ(__shfl_sync(~0U, base + lane, 7), base + 7);
      EXPECT_EQ(__shfl_up_sync(~0U, base + lane, 3), base + (lane < 3 ? lane : lane - 3));
      EXPECT_EQ(__shfl_down_sync(~0U, base + lane, 3), base + (lane > 28 ? lane : lane + 3));
      EXPECT_EQ(__ballot_sync(~0U, lane % 3 == 0), 0x49249249U);
      EXPECT_TRUE(__any_sync(~0U, lane == 9));
      EXPECT_FALSE(__all_sync(~0U, lane != 9));
    });
  }
}

TEST(EmulationTest, SumsOverWarpsAndBlocksAreFixedTrees) {
  for (const thread_order order : orders) {
    emulation::run_grid({dim3(1), dim3(96)}, {.order = order, .seed = 7}, [] {
      // 2^24 + 1 is no float: a sum that took another way would differ.
      const float value = threadIdx.x == 0 ? 16777216.0F : 1.0F;
      EXPECT_EQ(warp_sum(value), threadIdx.x < 32 ? 16777246.0F : 32.0F);
      EXPECT_EQ(block_sum(value), 16777310.0F);
      EXPECT_EQ(block_max(static_cast<float>(threadIdx.x)), 95.0F);
    });
  }
}

TEST(EmulationTest, MatricesComeAsTheirFragments) {
  emulation::run_grid({dim3(1), dim3(32)}, {}, [] {
    struct tiles {
      alignas(16) uint16_t at[32][8];
    };
    auto& shared = block_shared<tiles>();
    const int lane = emulation::running->lane;
    for (int i = 0; i < 8; ++i) {
      shared.at[lane][i] = static_cast<uint16_t>(lane * 8 + i);
    }
    __syncthreads();
    uint32_t plain[4], transposed[4];
    load_matrices(plain, &shared.at[lane]);
    load_matrices(transposed, &shared.at[lane], true);
    for (uint32_t matrix = 0; matrix < 4; ++matrix) {
      const uint32_t row = matrix * 8 + static_cast<uint32_t>(lane) / 4, column = static_cast<uint32_t>(lane) % 4 * 2;
      EXPECT_EQ(plain[matrix], (row * 8 + column) | (row * 8 + column + 1) << 16);
      const uint32_t first = (matrix * 8 + column) * 8 + static_cast<uint32_t>(lane) / 4;
      EXPECT_EQ(transposed[matrix], first | (first + 8) << 16);
    }
  });
}

/// [16, 8] = a [16, 16] b^T [8, 16] + d, in the fragments of thread.cuh.
std::vector<float> product(const std::vector<bf16>& a, const std::vector<bf16>& b, std::vector<float> d) {
  emulation::run_grid({dim3(1), dim3(32)}, {}, [&] {
    const auto pair = [](const std::vector<bf16>& from, int row, int k) {
      const bf16* at = from.data() + row * 16 + k;
      return static_cast<uint32_t>(at[0].bits) | static_cast<uint32_t>(at[1].bits) << 16;
    };
    const int group = emulation::running->lane / 4, k = emulation::running->lane % 4 * 2;
    const uint32_t a4[4] = {pair(a, group, k), pair(a, group + 8, k), pair(a, group, k + 8), pair(a, group + 8, k + 8)};
    const uint32_t b2[2] = {pair(b, group, k), pair(b, group, k + 8)};
    float* rows[2] = {d.data() + group * 8 + k, d.data() + (group + 8) * 8 + k};
    float d4[4] = {rows[0][0], rows[0][1], rows[1][0], rows[1][1]};
    multiply_add(d4, a4, b2);
    for (int i = 0; i < 4; ++i) {
      rows[i / 2][i % 2] = d4[i];
    }
  });
  return d;
}

TEST(EmulationTest, MatrixUnitsMultiplyAndAdd) {
  std::vector<float> a_values = test::random_values(16 * 16, 1), b_values = test::random_values(8 * 16, 2);
  const std::vector<bf16> a = test::round_to_bf16(a_values), b = test::round_to_bf16(b_values);
  const std::vector<float> before = test::random_values(16 * 8, 3);
  const std::vector<float> after = product(a, b, before);
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      double want = before[row * 8 + column];
      for (size_t k = 0; k < 16; ++k) {
        want += static_cast<double>(a_values[row * 16 + k]) * b_values[column * 16 + k];
      }
      // 17 terms, each cut by less than 2^-25 of the largest, which is below 2; then the sum to 24 bits.
      EXPECT_NEAR(after[row * 8 + column], want, 17 * 0x1p-24 + 0x1p-21);
    }
  }
}

TEST(EmulationTest, MatrixUnitsCutWhereTheHardwareCuts) {
  const auto dot = [](std::initializer_list<float> a, float each, float c) {
    uint16_t a16[16] = {}, b16[16] = {};
    size_t i = 0;
    for (const float value : a) {
      a16[i] = to_bf16(value).bits;
      b16[i++] = to_bf16(each).bits;
    }
    return emulation::dot_16(a16, b16, c);
  };
  EXPECT_EQ(dot({1, 2, 3}, 0.5F, 4), 7.0F);
  EXPECT_EQ(dot({}, 1, 0), 0.0F);
  EXPECT_EQ(dot({1, -1}, 1, 0), 0.0F);
  // Of two terms 2^-25 below the largest both stay, and are cut from the float32 only; one further below they are
  // gone before they are added.
  EXPECT_EQ(dot({0x1p-24F, 0x1p-24F}, 1, 1), 1 + 0x1p-23F);
  EXPECT_EQ(dot({0x1p-25F, 0x1p-25F, 0x1p-25F, 0x1p-25F}, 1, 1), 1 + 0x1p-23F);
  EXPECT_EQ(dot({0x1p-26F, 0x1p-26F, 0x1p-26F, 0x1p-26F, 0x1p-26F, 0x1p-26F, 0x1p-26F, 0x1p-26F}, 1, 1), 1.0F);
  // Towards zero, where rounding would go up.
  EXPECT_EQ(dot({0x1p-24F, 0x1p-25F}, 1, 1), 1.0F);
  EXPECT_EQ(dot({-0x1p-24F, -0x1p-25F}, 1, -1), -1.0F);
  // Beside the greatest the smallest are nothing, and cancelling does not bring them back.
  EXPECT_EQ(dot({1, 0x1p30F, -0x1p30F}, 1, 0), 0.0F);
  // Below the normal range, and above the whole of it.
  EXPECT_EQ(dot({0x1p-100F}, 0x1p-45F, 0), 0x1p-145F);
  EXPECT_EQ(dot({0x1p-100F}, 0x1p-60F, 0), 0.0F);
  EXPECT_EQ(dot({0x1p100F}, 0x1p100F, 0), HUGE_VALF);
  EXPECT_EQ(dot({1}, HUGE_VALF, 0), HUGE_VALF);
  EXPECT_TRUE(std::isnan(dot({1}, HUGE_VALF, -HUGE_VALF)));
  EXPECT_TRUE(std::isnan(dot({1}, 1, NAN)));
}

TEST(EmulationTest, AddressesThatInstructionsRefuseAreRefused) {
  alignas(16) static float global[8];
  struct row {
    alignas(16) float at[8];
  };
  const auto run = [](const std::function<void(row&)>& body) {
    emulation::run_grid({dim3(1), dim3(32)}, {}, [&] { body(block_shared<row>()); });
  };
  uint32_t to[4];
  EXPECT_NO_THROW(run([&](row& shared) { copy_async_16(&shared.at[4], global); }));
  EXPECT_THROW(run([&](row& shared) { copy_async_16(&shared.at[1], global); }), emulation::failure);
  EXPECT_THROW(run([&](row& shared) { copy_async_16(shared.at, global + 1); }), emulation::failure);
  EXPECT_THROW(run([&](row& shared) { copy_async_16(shared.at + 8, global); }), emulation::failure);
  EXPECT_THROW(run([&](row&) { copy_async_16(global, global + 4); }), emulation::failure);
  EXPECT_THROW(run([&](row&) { load_matrices(to, global); }), emulation::failure);
  EXPECT_THROW(run([&](row&) { block_dynamic_shared<row>(); }), emulation::failure);
  EXPECT_THROW(run([&](row&) { __shfl_xor_sync(0xFFFFU, 1, 1); }), emulation::failure);
}

TEST(EmulationTest, GroupsOfCopiesArriveInTheirOrder) {
  struct rows {
    alignas(16) float at[3][4];
  };
  alignas(16) static const float from[3][4] = {{1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 3, 3}};
  emulation::run_grid({dim3(1), dim3(32)}, {}, [] {
    auto& shared = block_shared<rows>();
    if (threadIdx.x != 0) {
      return;
    }
    for (int i = 0; i < 3; ++i) {
      copy_async_16(shared.at[i], from[i], i == 2 ? 8 : 16);
      copy_async_commit();
    }
    copy_async_wait<1>();
    EXPECT_EQ(shared.at[1][3], 2.0F);
    EXPECT_TRUE(std::isnan(shared.at[2][0]));
    copy_async_wait<0>();
    EXPECT_EQ(shared.at[2][1], 3.0F);
    EXPECT_EQ(shared.at[2][2], 0.0F);
  });
}

}  // namespace
}  // namespace troupe::kernels::cuda
