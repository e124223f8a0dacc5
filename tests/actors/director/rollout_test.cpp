// Rollouts against a cast of stubs: who generates and scores when, where they share ranks and where they do not.
#include "actors/director/rollout.hpp"
#include "support/director_bench.hpp"

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

class Rollout : public test::DirectorBench {
protected:
  void roll_out(on_stop stop = on_stop::drop) {
    perform(io::phase::ppo, [this, stop](director_context& on, checkpointing&) -> task<> {
      found_ = co_await actors::roll_out(on, serving::prompts, 3, stop);
    });
  }
  /// Rank 0 generates; the scorers are on others.
  void place_scorers_apart() {
    cast(3).place = [](size_t rank, actors::cast& parts) {
      if (rank > 0) {
        parts.policy = nullptr;
      }
      if (rank != 1) {
        parts.reference = parts.reward = nullptr;
      }
      if (rank != 2) {
        parts.critic = nullptr;
      }
    };
  }
  /// Everything that anyone was told, in order.
  void listen() {
    cast().hook = [this](size_t rank, const std::string& what) { heard_.push_back(fmt::format("{} {}", rank, what)); };
  }

  statistics found_;
  lines heard_;
};

TEST_F(Rollout, OnSharedRanksScoringFollowsGeneration) {
  roll_out();
  EXPECT_EQ(cast().told[0], (lines{"stage ppo", "loader prompts 3", "policy generate 16 give [] take []",
                                   "policy generate 16 give [] take []", "replay hand over", "policy generate ends",
                                   "reference score", "reward score", "critic score"}));
  EXPECT_EQ(statistic(found_, "time/reward_s"), 0.25);
  EXPECT_EQ(statistic(found_, "rate/reward_tokens_per_s"), 40 / 0.25);
  EXPECT_TRUE(found_.contains("time/generate_s"));
  EXPECT_TRUE(found_.contains("time/rollout_s"));
}

TEST_F(Rollout, ScorersOnOtherRanksScoreWhileThePolicyGenerates) {
  place_scorers_apart();
  listen();
  roll_out();
  ASSERT_TRUE(ended_);
  const auto at = [this](const std::string& what, size_t from = 0) {
    return static_cast<size_t>(std::find(heard_.begin() + static_cast<ptrdiff_t>(from), heard_.end(), what) -
                               heard_.begin());
  };
  const size_t first_turn = at("0 policy generate 16 give [] take []");
  const size_t second_turn = at("0 policy generate 16 give [] take []", first_turn + 1);
  ASSERT_LT(second_turn, heard_.size());
  EXPECT_LT(at("1 reference score"), at("0 policy generate ends")) << "what the first turn has finished";
  EXPECT_LT(at("2 critic score"), at("0 policy generate ends"));
  EXPECT_EQ(only(cast().told[1], {"reference", "reward"}),
            (lines{"reference score", "reward score", "reference score", "reward score"}))
      << "after each of the two turns, one after the other on their rank";
  EXPECT_EQ(only(cast().told[0], {"replay hand over"}).size(), 2U);
  EXPECT_EQ(statistic(found_, "time/critic_s"), 0.5) << "of both times";
}

TEST_F(Rollout, StopDropsItBetweenTwoTurns) {
  when("policy generate", [this] { stop(); });
  roll_out();
  EXPECT_TRUE(dropped_);
  EXPECT_EQ(only(cast().told[0], {"policy", "replay", "reference"}), lines{"policy generate 16 give [] take []"});
}

TEST_F(Rollout, StopWithScorersElsewhereLeavesNobodyWaiting) {
  place_scorers_apart();
  when("policy generate", [this] { stop(); });
  roll_out();
  EXPECT_TRUE(dropped_) << "the scorers hear that no more will come";
  EXPECT_EQ(only(cast().told[0], {"policy"}).size(), 1U);
}

TEST_F(Rollout, StopLeavesOneThatMustNotBeDropped) {
  when("policy generate", [this] { stop(); });
  roll_out(on_stop::go_on);
  EXPECT_FALSE(dropped_);
  EXPECT_EQ(cast().told[0].back(), "critic score");
}

TEST_F(Rollout, FailureOfAScorerEndsIt) {
  place_scorers_apart();
  when("critic score", [] { throw error(errc::out_of_memory, "values of 4 GB"); });
  roll_out();
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->code(), errc::out_of_memory);
}

TEST_F(Rollout, WithoutPromptsThereIsNothingToDo) {
  cast().served_sequences = 0;
  roll_out();
  EXPECT_TRUE(ended_);
  EXPECT_EQ(found_, statistics{});
  EXPECT_EQ(cast().told[0], (lines{"stage ppo", "loader prompts 3"}));
}

TEST_F(Rollout, RanksThatGenerateTogetherGetTheSameCommands) {
  job_.place.tensor_parallel = 2;
  cast(4).generated = [](size_t rank, int64_t command) -> generate_reply {
    if (command == 2) {
      return {};
    }
    const bool busy = rank < 2;
    return {.unfinished = busy ? 3 : 0,
            .answer_tokens = 5,
            .waiting = busy && command == 0 ? std::vector<uint64_t>{8, 9} : std::vector<uint64_t>{}};
  };
  roll_out();
  for (size_t rank = 0; rank < 4; ++rank) {
    const lines turns = only(cast().told[rank], {"policy generate 16"});
    ASSERT_EQ(turns.size(), 3U) << rank;
    EXPECT_EQ(turns[1], rank < 2 ? "policy generate 16 give [9] take []" : "policy generate 16 give [] take [9]");
  }
}

}  // namespace
}  // namespace troupe::actors
