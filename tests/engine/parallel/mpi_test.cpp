// Starts mpi_rank under mpirun, once per rank, and reads what the ranks print.
#include "support/text_search.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace troupe::engine {
namespace {

struct outcome {
  int status = -1;
  std::string output;
};

using test::count;

outcome run_ranks(int ranks, const std::string& part, int expected_ranks) {
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);  // containers have no other user
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);  // more ranks than cores
  const std::string command = fmt::format("{} -n {} --oversubscribe {} {} {} 2>&1 </dev/null", TROUPE_MPIRUN, ranks,
                                          TROUPE_MPI_RANK, part, expected_ranks);
  outcome result;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t bytes = fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), bytes);
  }
  const int status = pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

class MpiWorldTest : public testing::TestWithParam<int> {};

TEST_P(MpiWorldTest, EveryCheckOfTheLocalWorldsPasses) {
  const int ranks = GetParam();
  const outcome result = run_ranks(ranks, "checks", ranks);
  EXPECT_EQ(result.status, 0) << result.output;
  for (int rank = 0; rank < ranks; ++rank) {
    EXPECT_EQ(count(result.output, fmt::format("rank {}: 0 checks failed", rank)), 1U) << result.output;
  }
  EXPECT_EQ(count(result.output, "MPI was already used in this process"), static_cast<size_t>(ranks)) << result.output;
}

INSTANTIATE_TEST_SUITE_P(Ranks, MpiWorldTest, testing::Values(1, 3));

TEST(MpiFaultTest, AKilledPeerEndsAllOthers) {
  const outcome result = run_ranks(3, "killed", 3);
  EXPECT_NE(result.status, 0);
  EXPECT_EQ(count(result.output, "went on"), 0U) << result.output;
  EXPECT_GE(count(result.output, "signal 9"), 1U) << result.output;
}

TEST(MpiFaultTest, AStoppedPeerEndsTheOthersAtTheDeadlineWithTheOperationsName) {
  const outcome result = run_ranks(3, "stopped", 3);
  EXPECT_EQ(result.status, 70) << result.output;
  EXPECT_EQ(count(result.output, "went on"), 0U) << result.output;
  EXPECT_GE(count(result.output, "troupe: reduce_scatter 1 of 'policy gradients' on rank "), 1U) << result.output;
  EXPECT_GE(count(result.output, "no end after 2.0 s"), 1U) << result.output;
}

TEST(MpiFaultTest, AnOperationsOwnDeadlineAndLabelCount) {
  const outcome result = run_ranks(2, "impatient", 2);
  EXPECT_EQ(result.status, 70) << result.output;
  EXPECT_GE(count(result.output,
                  "troupe: receive 0 (greeting) of 'activations' on rank 0 of 2 (peer 1, tag 0): no end after 0.5 s"),
            1U)
      << result.output;
}

TEST(MpiWorldTest, WhatAllRanksHaveDroppedIsFreed) {
  const outcome result = run_ranks(3, "dropped", 3);
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(count(result.output, "freed 0 1 5"), 3U) << result.output;
}

TEST(MpiErrorTest, AnotherNumberOfRanksIsRefused) {
  const outcome result = run_ranks(2, "checks", 3);
  EXPECT_EQ(result.status, 1);
  // Every rank refuses, but mpirun may end the second before it has said so.
  EXPECT_GE(count(result.output, "MPI has started 2 ranks, the job has 3"), 1U) << result.output;
}

TEST(MpiErrorTest, DifferentNamesAreRefused) {
  const outcome result = run_ranks(2, "names", 2);
  EXPECT_EQ(result.status, 0) << result.output;
  EXPECT_EQ(count(result.output, "refused: opening 'of rank 1' on rank 1 of 2: rank 0 opens 'of rank 0'"), 1U)
      << result.output;
}

}  // namespace
}  // namespace troupe::engine
