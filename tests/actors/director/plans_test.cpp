// What the plans of phases do beside what director_test sees of whole runs.
#include "actors/director/pairs_plan.hpp"
#include "actors/director/replay_plan.hpp"
#include "actors/director/supervised_plan.hpp"
#include "support/director_bench.hpp"

#include <fstream>

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

TEST(SupervisedUpdates, AreThoseOfTheJobOrWholeBatchesOfItsEpochs) {
  EXPECT_EQ(updates_of({.epochs = 3, .updates = 7, .batch = 2}, 100), 7);
  EXPECT_EQ(updates_of({.epochs = 2, .updates = 0, .batch = 8}, 100), 25);
  EXPECT_EQ(updates_of({.epochs = 0.5, .updates = 0, .batch = 8}, 100), 6);
  EXPECT_EQ(updates_of({.epochs = 1, .updates = 0, .batch = 8}, 3), 1) << "at least one";
}

class PairsPlan : public test::DirectorBench {
protected:
  void SetUp() override {
    DirectorBench::SetUp();
    job_.run.phases = {io::phase::pairs, io::phase::reward};
    job_.pairs.prompts = 12;
    job_.pairs.prompts_per_iteration = 4;
    std::filesystem::create_directories(run_.root() / "pairs");
  }
  void write_part(int number) const {
    std::ofstream(run_.root() / fmt::format("pairs/part-{:06}.jsonl", number)) << "{}\n";
  }
  void perform_plan() {
    perform(io::phase::pairs, [this](director_context& on, checkpointing&) -> task<> {
      plan_.emplace(on);
      co_await plan_->perform();
    });
  }

  std::optional<pairs_plan> plan_;
};

TEST_F(PairsPlan, GoesOnAfterTheIterationsWhosePartsAreThere) {
  write_part(0);
  write_part(1);
  when("replay saves", [this] { write_part(2); });
  perform_plan();
  EXPECT_FALSE(failure_);
  EXPECT_EQ(only(cast().told[0], {"metrics", "loader", "replay saves"}),
            (lines{"metrics cut pairs 2 reward", "loader prompts 2", "metrics record pairs 3", "replay saves 2"}));
  EXPECT_EQ(cast().notes,
            (lines{"phase_resumed pairs 2: the pairs made so far are kept",
                   "checkpoint pairs 3: the pairs of this iteration are on disk", "phase_finished pairs 3"}));
}

TEST_F(PairsPlan, AStopDropsTheRolloutUnderWay) {
  write_part(0);
  when("policy generate", [this] { stop(); });
  perform_plan();
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(dropped_);
  EXPECT_EQ(only(cast().told[0], {"metrics record", "replay"}), lines{});
  EXPECT_EQ(cast().notes.size(), 1U) << "it is not finished";
}

/// A replay of the first two iterations of another run.
class ReplayPlan : public test::DirectorBench {
protected:
  void SetUp() override {
    DirectorBench::SetUp();
    job_.model.policy = "/somewhere/model";
    job_.data = {{.name = "tales", .path = "/somewhere/tales.jsonl", .format = io::data_format::prompt_answer}};
    job_.rewards = {
        {.name = "kindness", .kind = io::reward_kind::lexicon, .weight = 1, .lexicon = "/somewhere/words.txt"}};
    const io::run_directory source = io::run_directory::open_or_create(folder_ / "source");
    std::ofstream(source.job()) << io::job_text(job_);
    job_.run.phases = {io::phase::replay};
    job_.replay.of = source.root().string();
    job_.replay.to_iteration = 2;
  }
  void perform_plan() {
    perform(io::phase::replay, [this](director_context& on, checkpointing& checkpoints) -> task<> {
      plan_.emplace(on, checkpoints);
      co_await plan_->perform();
    });
  }

  std::optional<replay_plan> plan_;
};

TEST_F(ReplayPlan, RecallsAndLearnsIterationByIteration) {
  perform_plan();
  ASSERT_FALSE(failure_) << failure_->what();
  EXPECT_EQ(only(cast().told[0], {"replay recall", "policy_scorer", "metrics record"}),
            (lines{"replay recall 1", "policy_scorer score", "metrics record replay 1", "replay recall 2",
                   "policy_scorer score", "metrics record replay 2"}));
  EXPECT_EQ(cast().notes.back(), "phase_finished replay 2");
}

TEST_F(ReplayPlan, AnswersFarFromTheReferenceAreNamedAsThoseOfTheRun) {
  job_.ppo.max_kl = 5;
  cast().assembled.statistics = {{"kl/per_sequence_nats", 5.5}, {"replay/ess_share", 1}};
  perform_plan();
  ASSERT_TRUE(failure_);
  const std::string text = failure_->what();
  EXPECT_NE(text.find("5.500 nats per sequence, above ppo.max-kl = 5"), std::string::npos) << text;
  EXPECT_NE(text.find("of iteration 1"), std::string::npos) << text;
  EXPECT_EQ(text.find("is kept in"), std::string::npos) << "a replay writes no experience: " << text;
  EXPECT_EQ(only(cast().told[0], {"policy train"}), lines{});
}

TEST_F(ReplayPlan, ShowsNoRewardWhereThereIsNone) {
  job_.replay.to_iteration = 1;
  perform_plan();
  ASSERT_EQ(cast().shown.size(), 1U);
  EXPECT_TRUE(cast().shown[0].starts_with("no reward, KL")) << cast().shown[0];
}

TEST_F(ReplayPlan, ShowsItsReward) {
  job_.replay.to_iteration = 1;
  cast().assembled.statistics = {{"reward/raw_mean", 1.25}};
  perform_plan();
  ASSERT_EQ(cast().shown.size(), 1U);
  EXPECT_TRUE(cast().shown[0].starts_with("reward 1.250, KL")) << cast().shown[0];
}

}  // namespace
}  // namespace troupe::actors
