#include "actors/director/replies.hpp"
#include "actors/director/update.hpp"
#include "support/director_bench.hpp"

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

class Update : public test::DirectorBench {
protected:
  void update(const learning_model& model) {
    perform(io::phase::ppo, [this, model](director_context& on, checkpointing&) -> task<> {
      const train_command batch{.batch_id = 18, .loss_terms = 10};
      learned_ = co_await compute_gradients(on, model, batch);
      const step_command step{7, 0.25};
      stepped_ = co_await take_step(on, model, step);
    });
  }

  train_reply learned_;
  step_reply stepped_;
};

TEST_F(Update, AllRanksOfAModelTrainThenStepThenFold) {
  cast(2);
  update(learning_policy);
  for (size_t rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(cast().told[rank],
              (lines{"stage ppo", "policy train 12 of 10", "policy_optimizer step 7 at 0.25", "ema fold"}));
  }
  EXPECT_EQ(learned_.tokens, 80) << "of both";
  EXPECT_EQ(learned_.seconds, 0.5) << "of the slowest";
  EXPECT_EQ(statistic(learned_.statistics, "policy/loss"), 2);
  EXPECT_EQ(stepped_.gradient_norm, 3);
}

TEST_F(Update, AModelWithoutAnAverageFoldsNothing) {
  update(learning_critic);
  EXPECT_EQ(cast().told[0], (lines{"stage ppo", "critic train 12 of 10", "critic_optimizer step 7 at 0.25"}));
}

TEST_F(Update, APhaseWithoutAveragesFoldsNothing) {
  cast().has_ema = false;
  update(learning_policy);
  EXPECT_EQ(cast().told[0].back(), "policy_optimizer step 7 at 0.25");
}

TEST_F(Update, GradientsThatAreNotFiniteEndIt) {
  when("policy_optimizer step", [] { throw error(errc::not_finite, "the gradient norm is nan"); });
  update(learning_policy);
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->code(), errc::not_finite);
  EXPECT_EQ(cast().told[0].back(), "policy_optimizer step 7 at 0.25") << "nothing is folded";
}

TEST_F(Update, GradientsAreDiscardedOnAllRanks) {
  cast(2);
  perform(io::phase::ppo,
          [](director_context& on, checkpointing&) -> task<> { co_await discard_gradients(on, learning_policy); });
  EXPECT_EQ(cast().told[0].back(), "policy_optimizer cut");
  EXPECT_EQ(cast().told[1].back(), "policy_optimizer cut");
}

TEST(Replies, OfSeveralRanksAddTokensAndCommunicationAndKeepTheSlowest) {
  const train_reply learned =
      joined(std::vector<train_reply>{{.statistics = {{"loss", 2}}, .tokens = 3, .seconds = 1},
                                      {.statistics = {{"loss", 2}}, .tokens = 4, .seconds = 2}});
  EXPECT_EQ(learned.tokens, 7);
  EXPECT_EQ(learned.seconds, 2);
  EXPECT_EQ(learned.statistics, (statistics{{"loss", 2}}));
  step_reply one;
  one.gradient_norm = 3;
  one.seconds = 1;
  one.sent_bytes = 10;
  one.communication_s = 0.5;
  one.communication_wait_s = 0.25;
  step_reply other = one;
  other.seconds = 4;
  const step_reply stepped = joined(std::vector<step_reply>{one, other});
  EXPECT_EQ(stepped.gradient_norm, 3);
  EXPECT_EQ(stepped.seconds, 4);
  EXPECT_EQ(stepped.sent_bytes, 20);
  EXPECT_EQ(stepped.communication_s, 1);
  EXPECT_EQ(stepped.communication_wait_s, 0.5);
}

TEST(Replies, CommunicationIsRecordedOnlyWhereThereWasSome) {
  statistics out;
  add_communication(out, "policy", {});
  EXPECT_EQ(out, statistics{});
  step_reply stepped;
  stepped.sent_bytes = 8;
  add_communication(out, "policy", stepped);
  EXPECT_EQ(statistic(out, "rate/policy_communicated_bytes"), 8);
}

TEST(Replies, AnIterationsStatisticsAreMeansOfThoseThatHaveThemAndSumsOfSeconds) {
  iteration_statistics all;
  all.add({{"loss", 1}, {"time/step_s", 2}});
  all.add({{"loss", 3}, {"time/step_s", 3}});
  all.add({{"other", 5}});
  EXPECT_EQ(all.combined(), (statistics{{"loss", 2}, {"other", 5}, {"time/step_s", 5}}));
}

TEST(Replies, RatesOfNoTimeAreZero) {
  EXPECT_EQ(per_second(10, 4), 2.5);
  EXPECT_EQ(per_second(10, 0), 0);
}

}  // namespace
}  // namespace troupe::actors
