// Ranks that generate together, by mpirun: the bytes of one rank.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace troupe::test {

static std::vector<std::string> arguments(const std::filesystem::path& run, int ranks,
                                          const std::vector<std::string>& more = {}) {
  std::vector<std::string> all = {"run",           test_data() + "/jobs/tiny.ini",
                                  "--run.dir",     run.string(),
                                  "--run.lanes",   "4",
                                  "--run.threads", "1",
                                  "--place.ranks", std::to_string(ranks)};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(TensorParallel, GroupsOfTwoAndOfFourEndInTheBytesOfOneRank) {
  const temporary_folder folder;
  const program_result one = run_program(arguments(folder / "one", 1));
  ASSERT_EQ(one.status, 0) << one.output;
  const std::vector<std::pair<int, std::vector<std::string>>> turns = {
      {2, {"--place.tensor-parallel", "2"}},
      {4, {"--place.tensor-parallel", "2", "--place.policy-zero", "3"}},
      {4, {"--place.tensor-parallel", "4", "--place.policy-zero", "3"}}};
  for (size_t i = 0; i < turns.size(); ++i) {
    const auto& [ranks, more] = turns[i];
    const auto run = folder / std::to_string(i);
    const program_result result = run_program(arguments(run, ranks, more));
    ASSERT_EQ(result.status, 0) << result.output;
    SCOPED_TRACE(std::to_string(ranks) + " ranks, " + more[1] + " together");
    for (const std::string& difference : differences_of_runs(folder / "one", run)) {
      ADD_FAILURE() << difference;
    }
  }
}

}  // namespace troupe::test
