// Mixture text in PPO: its gradients are summed with the minibatch's, in any number of lanes.
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace troupe::test {

static const std::string job = test_data() + "/jobs/tiny.ini";

TEST(Mixture, IsSummedInAnyNumberOfLanes) {
  for (const char* lanes : {"1", "2", "4"}) {
    const temporary_folder folder;
    const program_result result = run_program({"run", job, "--run.dir", (folder / "run").string(), "--run.lanes", lanes,
                                               "--ppo.ptx-coef", "0.5", "--ppo.iterations", "2"});
    ASSERT_EQ(result.status, 0) << result.output;
    std::ifstream file(folder / "run" / "metrics.jsonl");
    const std::string metrics(std::istreambuf_iterator<char>(file), {});
    EXPECT_NE(metrics.find("mixture/loss"), std::string::npos) << lanes << " lanes";
  }
}

}  // namespace troupe::test
