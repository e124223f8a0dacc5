// Ranks that generate together, by mpirun: the bytes of one rank.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/undisturbed_run.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace troupe::test {

static words arguments(const std::filesystem::path& run, int ranks, const words& more = {}) {
  return run_of_job("tiny", run) +
         words{"--run.lanes", "4", "--run.threads", "1", "--place.ranks", std::to_string(ranks)} + more;
}

TEST(TensorParallel, GroupsOfTwoAndOfFourEndInTheBytesOfOneRank) {
  const temporary_folder folder;
  const program_result one = run_program(arguments(folder / "one", 1));
  ASSERT_EQ(one.status, 0) << one.output;
  const std::vector<std::pair<int, words>> turns = {{2, {"--place.tensor-parallel", "2"}},
                                                    {4, {"--place.tensor-parallel", "2", "--place.policy-zero", "3"}},
                                                    {4, {"--place.tensor-parallel", "4", "--place.policy-zero", "3"}}};
  for (size_t i = 0; i < turns.size(); ++i) {
    const auto& [ranks, more] = turns[i];
    const auto run = folder / std::to_string(i);
    const program_result result = run_program(arguments(run, ranks, more));
    ASSERT_EQ(result.status, 0) << result.output;
    SCOPED_TRACE(std::to_string(ranks) + " ranks, " + more[1] + " together");
    expect_equal_runs(folder / "one", run);
  }
}

}  // namespace troupe::test
