#include "actors/director/learning.hpp"
#include "actors/director/ppo_state.hpp"
#include "support/director_bench.hpp"

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

class Learning : public test::DirectorBench {
protected:
  void learn(uint64_t iteration = 1, uint64_t updates_before = 0) {
    perform(io::phase::ppo, [=, this](director_context& on, checkpointing&) -> task<> {
      for (uint64_t i = 0; i < updates_before; ++i) {
        count_update(on.state());
      }
      found_ = co_await actors::learn(on, iteration);
      updates_ = updates_done(on.state());
    });
  }
  lines told(const lines& beginnings) { return only(cast().told[0], beginnings); }

  statistics found_;
  uint64_t updates_ = 0;
};

TEST_F(Learning, EveryMinibatchOfEveryEpochTeachesBothModels) {
  job_.ppo.epochs = 2;
  job_.ppo.minibatches = 3;
  learn(4, 10);
  EXPECT_EQ(told({"replay serve"}), (lines{"replay serve 4 0 0", "replay serve 4 0 1", "replay serve 4 0 2",
                                           "replay serve 4 1 0", "replay serve 4 1 1", "replay serve 4 1 2"}));
  EXPECT_EQ(told({"policy_optimizer"}).front(), "policy_optimizer step 11 at 0.5");
  EXPECT_EQ(told({"critic_optimizer"}).back(), "critic_optimizer step 16 at 0.5");
  EXPECT_EQ(updates_, 16U);
  EXPECT_EQ(statistic(found_, "policy/updates"), 6);
  EXPECT_EQ(statistic(found_, "time/policy_step_s"), 6 * 0.125) << "a sum";
  EXPECT_EQ(statistic(found_, "policy/grad_norm"), 3) << "a mean";
}

TEST_F(Learning, NeedsNeitherGenerationNorScorers) {
  cast().place = [](size_t, actors::cast& parts) { parts.reference = parts.reward = parts.loader = nullptr; };
  job_.ppo.minibatches = 1;
  learn();
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(failure_);
  EXPECT_EQ(told({"policy generate", "reward", "reference"}), lines{});
  EXPECT_EQ(told({"policy train"}).size(), static_cast<size_t>(job_.ppo.epochs));
}

TEST_F(Learning, TheFirstIterationsTeachTheCriticAlone) {
  job_.ppo.epochs = 1;
  job_.ppo.minibatches = 2;
  job_.ppo.critic_only_iterations = 3;
  learn(3);
  EXPECT_EQ(told({"policy"}), lines{});
  EXPECT_EQ(told({"critic train"}).size(), 2U);
  EXPECT_EQ(updates_, 2U);
}

TEST_F(Learning, ModelsOnRanksOfTheirOwnLearnAtTheSameTime) {
  job_.ppo.epochs = job_.ppo.minibatches = 1;
  cast(2).place = [](size_t rank, actors::cast& parts) {
    (rank == 0 ? parts.critic : parts.policy) = nullptr;
    (rank == 0 ? parts.critic_optimizer : parts.policy_optimizer) = nullptr;
  };
  lines heard;
  cast().hook = [&](size_t rank, const std::string& what) { heard.push_back(fmt::format("{} {}", rank, what)); };
  learn();
  const auto critic = std::find(heard.begin(), heard.end(), "1 critic train 0 of 10");
  const auto step = std::find(heard.begin(), heard.end(), "0 policy_optimizer step 1 at 0.5");
  ASSERT_NE(step, heard.end());
  EXPECT_LT(critic, step) << "the critic does not wait for the policy's step";
}

TEST_F(Learning, AnUpdateThatGoesTooFarIsDroppedAndTheLast) {
  job_.ppo.epochs = 3;
  job_.ppo.minibatches = 2;
  job_.ppo.target_kl = 0.01;
  cast().learned = {{"policy/approx_kl_nats", 0.02}};
  learn();
  EXPECT_EQ(told({"policy"}), (lines{"policy train 0 of 10", "policy_optimizer cut"}));
  EXPECT_EQ(told({"critic_optimizer"}).size(), 1U);
  EXPECT_EQ(statistic(found_, "policy/stopped_early"), 1);
}

TEST_F(Learning, RollbacksHalveTheLearningRates) {
  job_.ppo.epochs = job_.ppo.minibatches = 1;
  perform(io::phase::ppo, [](director_context& on, checkpointing&) -> task<> {
    set_rollbacks(on.state(), 2);
    co_await actors::learn(on, 1);
  });
  EXPECT_EQ(told({"policy_optimizer"}), lines{"policy_optimizer step 1 at 0.125"});
}

}  // namespace
}  // namespace troupe::actors
