// Mixture text in PPO: its gradients are summed with the minibatch's, in any number of lanes.
#include "support/program.hpp"
#include "support/stories.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <filesystem>
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

TEST(Mixture, WhoseTextHasChangedIsToldOfAtTheStartOfAReplay) {
  const temporary_folder folder;
  const std::filesystem::path data = folder / "text.jsonl";
  write_stories(data, 200);
  const std::string run = (folder / "run").string();
  const program_result made =
      run_program({"run", job, "--run.dir", run, "--ppo.iterations", "1", "--ppo.ptx-coef", "0.5", "--data.text.path",
                   data.string(), "--data.text.format", "prompt-answer", "--data.text.phases", "sft"});
  ASSERT_EQ(made.status, 0) << made.output;
  const program_result exact = run_program({"replay", run, "--verify"});
  EXPECT_EQ(exact.status, 0) << exact.output;
  write_stories(data, 201);
  const program_result refused = run_program({"replay", run, "--verify"});
  EXPECT_NE(refused.status, 0);
  EXPECT_NE(refused.output.find("sft data have changed since the run learned"), std::string::npos) << refused.output;
}

}  // namespace troupe::test
