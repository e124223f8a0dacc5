#include "actors/director/ppo_state.hpp"
#include "actors/director/rollback.hpp"
#include "support/director_bench.hpp"

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

class Rollback : public test::DirectorBench {
protected:
  /// A ppo phase with checkpoints of these counters (the newest first), so many updates after the one it goes on from.
  void roll_back(const std::vector<uint64_t>& counters, uint64_t updates) {
    for (const uint64_t counter : counters) {
      cast().checkpoints.push_back(
          {.found = true, .path = fmt::format("c{}", counter), .counter = counter, .files = {}, .problem = ""});
    }
    cast().restored = {.phase = io::phase::ppo, .counter = counters.empty() ? 0 : counters.front(), .values = {}};
    perform(io::phase::ppo, [=, this](director_context& on, checkpointing& checkpoints) -> task<> {
      const evaluation_measure measure{.metric = "reward"};
      co_await checkpoints.begin_phase(9, measure);
      for (uint64_t i = 0; i < updates; ++i) {
        count_update(on.state());
      }
      co_await actors::roll_back(on, checkpoints, "the KL is 40", on.state().counter + 1);
      state_ = on.state();
    });
  }
  lines restored() { return only(cast().saved[0], {"restore"}); }

  phase_state state_;
};

TEST_F(Rollback, WhereSomethingWasLearnedTheLastCheckpointIsSound) {
  roll_back({3, 2}, 1);
  EXPECT_FALSE(failure_);
  EXPECT_EQ(restored(), (lines{"restore c3", "restore c3"}));
  EXPECT_EQ(only(cast().told[0], {"stage"}).size(), 2U) << "a new cast";
  EXPECT_EQ(rollbacks(state_), 1);
  EXPECT_EQ(updates_done(state_), 0U);
  EXPECT_EQ(only(cast().notes, {"note"}), lines{"note ppo 3: rolled back: the KL is 40"});
}

TEST_F(Rollback, WhereNothingWasLearnedItGoesBeforeTheLastCheckpoint) {
  roll_back({3, 2}, 0);
  EXPECT_EQ(restored(), (lines{"restore c3", "restore c2"}));
}

TEST_F(Rollback, BeforeTheFirstCheckpointIsTheStart) {
  roll_back({1}, 0);
  EXPECT_EQ(restored(), (lines{"restore c1", "restore "}));
}

TEST_F(Rollback, WhereTheOneBeforeIsGoneTheRunEnds) {
  roll_back({3}, 0);
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->code(), errc::not_finite);
  EXPECT_NE(std::string(failure_->what()).find("has left none before it"), std::string::npos) << failure_->what();
}

TEST_F(Rollback, FromTheStartLeadsNowhere) {
  roll_back({}, 0);
  ASSERT_TRUE(failure_);
  EXPECT_NE(std::string(failure_->what()).find("Nothing has been learned yet"), std::string::npos);
}

TEST_F(Rollback, IsDoneNoMoreOftenThanTheJobSays) {
  job_.ppo.max_rollbacks = 0;
  roll_back({3}, 1);
  ASSERT_TRUE(failure_);
  EXPECT_STREQ(failure_->what(), "the KL is 40 (after 0 rollbacks: ppo.max-rollbacks)");
  EXPECT_EQ(restored(), lines{"restore c3"}) << "nothing was touched";
}

}  // namespace
}  // namespace troupe::actors
