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
