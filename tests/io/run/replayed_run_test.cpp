// What a run must hold to be replayed: what is missing is told before anything starts.
#include "io/run/replayed_run.hpp"
#include "support/refusal.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe::io {
namespace {

/// A run with experience of some iterations, replayed from its start to its third.
class ReplayedRun : public ::testing::Test {
protected:
  ReplayedRun() {
    job live;
    live.run.phases = {phase::ppo};
    live.model.policy = model().string();
    live.data = {{.name = "prompts", .path = "/somewhere/prompts.jsonl", .format = data_format::prompt_answer}};
    live.rewards = {{.name = "kindness", .kind = reward_kind::lexicon, .lexicon = "/somewhere/words.txt"}};
    std::ofstream(run_.job()) << job_text(live);
    std::filesystem::create_directories(run_.experience());
    std::filesystem::create_directories(model());
    std::ofstream(model() / "config.json") << "{}";
  }
  std::filesystem::path model() const { return folder_ / "model"; }
  void store(int64_t iteration) const { std::ofstream(run_.experience(iteration)) << "stored"; }
  void require(std::vector<replay_leniency> allow) const {
    const replayed_run source(run_.root());
    replay_section how;
    how.to_iteration = 3;
    how.allow = std::move(allow);
    source.require_replayable(source.replay_of(how));
  }

  test::temporary_folder folder_;
  run_directory run_ = run_directory::open_or_create(folder_ / "run");
};

TEST_F(ReplayedRun, MissingExperienceIsNamedUnlessItMayBeLeftOut) {
  store(2);
  store(3);
  EXPECT_NE(test::refusal([&] { require({}); }).find("no experience of iterations 1 "), std::string::npos);
  EXPECT_NO_THROW(require({replay_leniency::iterations}));
}

TEST_F(ReplayedRun, AModelThatIsGoneIsNamed) {
  store(1);
  store(2);
  store(3);
  std::filesystem::remove_all(model());
  const std::string refused = test::refusal([&] { require({}); });
  EXPECT_NE(refused.find("model.policy = " + model().string() + ": this model"), std::string::npos) << refused;
  EXPECT_NE(refused.find("model.critic = "), std::string::npos) << refused;
}

TEST_F(ReplayedRun, TheLastThatIsStoredMayComeAfterMissingOnes) {
  const replayed_run source(run_.root());
  EXPECT_EQ(source.last_stored(1), 1);
  store(1);
  store(4);
  store(5);
  EXPECT_EQ(source.last_stored(0), 5);
  EXPECT_EQ(source.last_stored(5), 5);
}

TEST_F(ReplayedRun, TheLastIterationIsNotLeftOut) {
  store(1);
  store(2);
  const std::string refused = test::refusal([&] { require({replay_leniency::iterations}); });
  EXPECT_NE(refused.find("replay.to-iteration = 3: "), std::string::npos) << refused;
}

}  // namespace
}  // namespace troupe::io
