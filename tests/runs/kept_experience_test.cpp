// Which experience a run keeps, also one that is killed and goes on; and that what it stored serves an exact replay.
#include "io/experience/capabilities.hpp"
#include "io/experience/experience.hpp"
#include "io/experience/summary.hpp"
#include "support/program.hpp"
#include "support/temporary_folder.hpp"
#include "support/words.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace troupe::test {
namespace {

constexpr int64_t iterations = 6;

words command(const std::filesystem::path& run, const words& options) {
  return run_of_job("tiny", run) +
         words{"--ppo.iterations", std::to_string(iterations), "--run.checkpoint-every", "2"} + options;
}

std::set<int64_t> kept_in(const std::filesystem::path& run) {
  std::set<int64_t> kept;
  for (const auto& file : io::experience_files(run / "experience")) {
    kept.insert(io::iteration_of(file).value());
  }
  return kept;
}

TEST(KeptExperienceOfARun, IsTheLastEveryNthAndTheBestAlsoAfterAKill) {
  const temporary_folder folder;
  const program_result all = run_program(command(folder / "all", {}));
  ASSERT_EQ(all.status, 0) << all.output;
  EXPECT_EQ(kept_in(folder / "all").size(), static_cast<size_t>(iterations));
  int64_t best = 0;
  double highest = -1e300;
  for (const int64_t iteration : {1, 2, 4, 5}) {  // of those that are neither the last nor every third
    const auto path = folder / "all" / "experience" / fmt::format("iteration-{:06}.h5", iteration);
    const double reward = io::read_summary(path).reward_mean;
    if (reward > highest) {
      highest = reward;
      best = iteration;
    }
  }

  const std::vector<std::string> keeps = {"--experience.keep",      "1", "--experience.keep-every", "3",
                                          "--experience.keep-best", "1"};
  {
    program killed(command(folder / "some", keeps), folder / "output");
    await_file(killed, folder / "some/experience/iteration-000004.h5");
    ASSERT_TRUE(killed.running());
    killed.kill();
  }
  const program_result resumed = run_program(command(folder / "some", keeps));
  ASSERT_EQ(resumed.status, 0) << resumed.output;
  EXPECT_EQ(kept_in(folder / "some"), (std::set<int64_t>{3, 6, best}));
  for (const int64_t iteration : {int64_t{3}, int64_t{6}, best}) {
    const std::string name = fmt::format("experience/iteration-{:06}.h5", iteration);
    EXPECT_EQ(text_of(folder / "some" / name), text_of(folder / "all" / name)) << name;
  }
}

TEST(KeptExperienceOfARun, HasAllThatAReplayNeeds) {
  const temporary_folder folder;
  const program_result result = run_program(run_of_job("tiny", folder / "run") + words{"--ppo.iterations", "2"});
  ASSERT_EQ(result.status, 0) << result.output;
  const io::experience first = io::read_experience(folder / "run" / "experience" / "iteration-000001.h5");
  const io::experience second = io::read_experience(folder / "run" / "experience" / "iteration-000002.h5");
  EXPECT_TRUE(io::capabilities_of(first).exact_replay) << describe(io::capabilities_of(first));
  ASSERT_TRUE(first.shaping && second.shaping);
  EXPECT_EQ(first.shaping->scale_count, 0) << "before the iteration";
  EXPECT_EQ(second.shaping->scale_count, first.sequences());
  EXPECT_NE(second.shaping->kl_coefficient, first.shaping->kl_coefficient);
  EXPECT_EQ(first.reward_weight_S.size(), first.reward_names.size());
  EXPECT_NE(first.reference_digest, "");
  EXPECT_NE(first.critic_digest, "");
  const io::experience_summary summary = io::summary_of(first);
  EXPECT_EQ(summary.groups * 2, summary.sequences) << "two samples of each prompt are a group";
  EXPECT_EQ(first.group_B[0], first.group_B[1]);
  EXPECT_NE(first.group_B[1], first.group_B[2]);
}

}  // namespace
}  // namespace troupe::test
