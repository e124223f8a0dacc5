// Mixture text in PPO: its gradients are summed with the minibatch's, in any number of lanes.
#include "support/program.hpp"
#include "support/stories.hpp"
#include "support/temporary_folder.hpp"
#include "support/words.hpp"

#include <gtest/gtest.h>

#include <filesystem>

namespace troupe::test {

TEST(Mixture, IsSummedInAnyNumberOfLanes) {
  for (const char* lanes : {"1", "2", "4"}) {
    const temporary_folder folder;
    const program_result result =
        run_program(run_of_job("tiny", folder / "run") +
                    words{"--run.lanes", lanes, "--ppo.ptx-coef", "0.5", "--ppo.iterations", "2"});
    ASSERT_EQ(result.status, 0) << result.output;
    EXPECT_NE(text_of(folder / "run/metrics.jsonl").find("mixture/loss"), std::string::npos) << lanes << " lanes";
  }
}

TEST(Mixture, WhoseTextHasChangedIsToldOfAtTheStartOfAReplay) {
  const temporary_folder folder;
  const std::filesystem::path data = folder / "text.jsonl";
  write_stories(data, 200);
  const std::string run = (folder / "run").string();
  const program_result made = run_program(
      run_of_job("tiny", run) + words{"--data.text.path", data.string()} +
      words_of("--ppo.iterations 1 --ppo.ptx-coef 0.5 --data.text.format prompt-answer --data.text.phases sft"));
  ASSERT_EQ(made.status, 0) << made.output;
  const program_result exact = run_program({"replay", run, "--verify"});
  EXPECT_EQ(exact.status, 0) << exact.output;
  write_stories(data, 201);
  const program_result refused = run_program({"replay", run, "--verify"});
  EXPECT_NE(refused.status, 0);
  EXPECT_NE(refused.output.find("sft data have changed since the run learned"), std::string::npos) << refused.output;
}

}  // namespace troupe::test
