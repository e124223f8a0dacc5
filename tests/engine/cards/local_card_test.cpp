#include "engine/cards/local_card.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace troupe::engine {
namespace {

int chosen(const std::map<std::string, std::string>& environment, int cards) {
  return local_card(
      [&](const char* name) {
        const auto found = environment.find(name);
        return found != environment.end() ? found->second.c_str() : nullptr;
      },
      cards);
}

TEST(LocalCard, IsTheRanksNumberOnItsHost) {
  EXPECT_EQ(chosen({}, 4), 0);
  EXPECT_EQ(chosen({{"SLURM_LOCALID", "3"}}, 4), 3);
  EXPECT_EQ(chosen({{"OMPI_COMM_WORLD_LOCAL_RANK", "2"}}, 4), 2);
}

TEST(LocalCard, RanksThatMpirunStartsInASlurmJobGoByMpirun) {
  EXPECT_EQ(chosen({{"SLURM_LOCALID", "0"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "2"}}, 4), 2);
}

TEST(LocalCard, WhereSlurmShowsARankItsOwnCardsItTakesTheFirst) {
  EXPECT_EQ(chosen({{"SLURM_LOCALID", "3"}, {"SLURM_GPUS_PER_TASK", "1"}}, 1), 0);
}

TEST(LocalCard, WhatIsLeftOutIsPassedOver) {
  std::map<std::string, std::string> slurm = {{"SLURMD_NODENAME", "node2"},
                                              {cards_left_out, "node1:0 node2:1 node2:2 node22:0"}};
  EXPECT_EQ(chosen(slurm, 4), 0) << "one rank, by no launcher";
  slurm["SLURM_LOCALID"] = "1";
  EXPECT_EQ(chosen(slurm, 4), 3);
  slurm["SLURM_LOCALID"] = "2";
  test::expect_error(errc::bad_argument,
                     "the host shows it 4 cards, 2 of which are left out since they have failed "
                     "(TROUPE_CARDS_LEFT_OUT): start as many",
                     [&] { chosen(slurm, 4); });
}

TEST(LocalCard, OutsideOfSlurmCardsAreLeftOutWhereEachRankHasOneStill) {
  std::map<std::string, std::string> mpirun = {
      {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}, {cards_left_out, ":0"}};
  EXPECT_EQ(chosen(mpirun, 3), 2);
  EXPECT_EQ(chosen(mpirun, 2), 1) << "two ranks need both";
  EXPECT_EQ(chosen({{cards_left_out, ":0"}}, 2), 1);
  EXPECT_EQ(chosen({{cards_left_out, ":0"}}, 1), 0);
}

TEST(LocalCard, WhatIsLeftOutMustBeCards) {
  for (const char* words : {"x", "node2", "node2:", "node2:x", "node2:-1", ":0 y"}) {
    test::expect_error(errc::bad_argument, "give hosts and numbers of cards", [&] {
      chosen({{cards_left_out, words}}, 2);
    });
  }
}

TEST(LocalCard, FewerCardsThanRanksAreRefused) {
  test::expect_error(errc::bad_argument,
                     "this is rank 1 of its host, counted from 0 (SLURM_LOCALID), and the host shows it 1 card: start "
                     "as many ranks on a host as it has cards",
                     [] {
                       chosen({{"SLURM_LOCALID", "1"}}, 1);
                     });
  test::expect_error(errc::bad_argument, "the host shows it 2 cards", [] {
    chosen({{"OMPI_COMM_WORLD_LOCAL_RANK", "2"}}, 2);
  });
}

TEST(LocalCard, AWordThatIsNoNumberIsRefused) {
  for (const char* word : {"", "x", "1x", "-1", " 1", "99999999999"}) {
    test::expect_error(errc::bad_argument, "which is no number of a rank on its host", [&] {
      chosen({{"SLURM_LOCALID", word}}, 4);
    });
  }
}

}  // namespace
}  // namespace troupe::engine
