#include "actors/director/evaluation.hpp"
#include "actors/director/ppo_state.hpp"
#include "support/director_bench.hpp"

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

class Evaluation : public test::DirectorBench {
protected:
  void evaluate_policy(uint64_t iteration) {
    job_.evaluation.prompts = 8;
    perform(io::phase::ppo, [this, iteration](director_context& on, checkpointing&) -> task<> {
      found_ = co_await actors::evaluate_policy(on, iteration);
      state_ = on.state();
    });
  }
  void evaluate_held_out() {
    perform(io::phase::sft, [this](director_context& on, checkpointing&) -> task<> {
      found_ = co_await actors::evaluate_held_out(on, &cast::policy);
    });
  }

  statistics found_ = {{"before", 1}};
  phase_state state_;
};

TEST_F(Evaluation, OfExamplesAsksAllRanksForTheSame) {
  cast(2);
  evaluate_held_out();
  EXPECT_EQ(cast().told[1], (lines{"stage sft", "loader held_out 0", "policy evaluate"}));
  EXPECT_EQ(found_, (statistics{{"held_out/perplexity", 7.0}}));
}

TEST_F(Evaluation, OfNoExamplesIsNothing) {
  cast().served_sequences = 0;
  evaluate_held_out();
  EXPECT_EQ(found_, statistics{});
  EXPECT_EQ(only(cast().told[0], {"policy"}), lines{});
}

TEST_F(Evaluation, OfThePolicyIsARolloutThatChangesNoState) {
  cast().assembled.statistics = {{"reward/raw_mean", 0.5}};
  cast().assembled.reward_scale = {{"count", 4}, {"mean", 1}, {"squares", 1}};
  evaluate_policy(3);
  EXPECT_EQ(
      only(cast().told[0], {"loader", "replay assemble"}),
      (lines{"loader held_out_prompts 0", "replay assemble 3 version 0 kl 0 only evaluations/iteration-000003.h5"}));
  EXPECT_EQ(found_, (statistics{{"evaluation/reward/raw_mean", 0.5}}));
  EXPECT_EQ(statistic(reward_scale(state_), "count"), 0);
}

TEST_F(Evaluation, WithoutHeldOutPromptsIsNothing) {
  cast().held_out = 0;
  evaluate_policy(3);
  EXPECT_EQ(found_, statistics{});
  EXPECT_EQ(cast().told[0], lines{"stage ppo"});
}

TEST_F(Evaluation, BeforeTheFirstIterationAStopDropsIt) {
  when("policy generate", [this] { stop(); });
  evaluate_policy(0);
  EXPECT_TRUE(dropped_);
}

TEST_F(Evaluation, AfterAnIterationAStopWaitsForItsEnd) {
  when("policy generate", [this] { stop(); });
  evaluate_policy(1);
  EXPECT_FALSE(dropped_);
  EXPECT_EQ(only(cast().told[0], {"replay assemble"}).size(), 1U);
}

}  // namespace
}  // namespace troupe::actors
