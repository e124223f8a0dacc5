#include "actors/supervisor/rank_watch.hpp"
#include "base/error.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {

using namespace std::chrono_literals;

class RankWatch : public ::testing::Test {
protected:
  hello words(int32_t rank, int32_t ranks = 3) {
    return {.attempt = 1,
            .rank = rank,
            .ranks = ranks,
            .host = "node" + std::to_string(rank),
            .pid = 100 + rank,
            .stage = caf::actor_cast<caf::strong_actor_ptr>(
                system_.spawn([](caf::event_based_actor*) { return caf::behavior{[](int) {}}; }))};
  }
  void begin_all() {
    watch_.begin(3, start_);
    for (int32_t r = 0; r < 3; ++r) {
      watch_.welcome(words(r), start_);
    }
  }
  static beat sign(int32_t rank, std::vector<activity> busy = {}) {
    return {.attempt = 1, .rank = rank, .busy = std::move(busy)};
  }
  static activity policy(uint64_t pulse, bool waits = false) {
    return {.actor = "policy", .operation = "policy gradients", .pulse = pulse, .waits = waits};
  }
  static activity checkpointer(uint64_t pulse) {
    return {.actor = "checkpointer", .operation = "write checkpoint", .pulse = pulse};
  }

  void TearDown() override {
    for (int64_t r = 0; r < watch_.size(); ++r) {
      if (watch_[r].stage) {
        caf::anon_send_exit(watch_[r].stage, caf::exit_reason::kill);
      }
    }
  }

  caf::actor_system_config config_;
  caf::actor_system system_{config_};
  rank_watch watch_;
  rank_watch::clock::time_point start_ = rank_watch::clock::now();
};

TEST_F(RankWatch, IsCompleteWhenEveryRankHasReportedOnce) {
  watch_.begin(3, start_);
  EXPECT_EQ(watch_.unheard(), (std::vector<int64_t>{0, 1, 2}));
  watch_.welcome(words(2), start_);
  watch_.welcome(words(0), start_);
  EXPECT_FALSE(watch_.complete());
  EXPECT_EQ(watch_.unheard(), (std::vector<int64_t>{1}));
  const hello again = words(2);
  EXPECT_THROW(watch_.welcome(again, start_), error);
  caf::anon_send_exit(again.stage, caf::exit_reason::kill);
  watch_.welcome(words(1), start_);
  EXPECT_TRUE(watch_.complete());
  EXPECT_EQ(watch_.rank_of(watch_[1].stage->address()), 1);
}

TEST_F(RankWatch, StrangersAreRefused) {
  watch_.begin(3, start_);
  for (const hello& stranger : {words(3), words(-1), words(0, 4)}) {
    EXPECT_THROW(watch_.welcome(stranger, start_), error);
    caf::anon_send_exit(stranger.stage, caf::exit_reason::kill);
  }
  watch_.note(sign(7), start_);  // dropped
  EXPECT_FALSE(watch_.complete());
}

TEST_F(RankWatch, ARankOfAnotherVersionIsRefused) {
  watch_.begin(3, start_);
  hello older = words(1);
  older.version = "0.0.9, messages 1";
  try {
    watch_.welcome(older, start_);
    ADD_FAILURE() << "welcomed";
  } catch (const error& refusal) {
    EXPECT_EQ(refusal.code(), errc::unsupported);
    EXPECT_EQ(std::string(refusal.what()).find("rank 1 on node1 runs troupe 0.0.9, messages 1, its supervisor "), 0U)
        << refusal.what();
  }
  caf::anon_send_exit(older.stage, caf::exit_reason::kill);
  EXPECT_EQ(watch_.unheard().size(), 3U);
}

TEST_F(RankWatch, TheSilentRankIsNamed) {
  begin_all();
  watch_.note(sign(0, {policy(1)}), start_ + 4s);
  watch_.note(sign(1, {policy(0)}), start_ + 1s);
  watch_.note(sign(2), start_ + 4s);
  const auto [rank, seconds] = watch_.longest_silence(start_ + 5s);
  EXPECT_EQ(rank, 1);
  EXPECT_DOUBLE_EQ(seconds, 4.0);
  EXPECT_EQ(watch_.silent(2.0, start_ + 5s), (std::vector<int64_t>{1}));
  EXPECT_EQ(watch_.silent(2.0, start_ + 7s), (std::vector<int64_t>{0, 1, 2}));
}

TEST_F(RankWatch, AnActorThatStandsStillWhileItsRankBeatsIsNamed) {
  begin_all();
  for (int second = 1; second <= 6; ++second) {
    const auto now = start_ + second * 1s;
    watch_.note(sign(0, {policy(static_cast<uint64_t>(second))}), now);
    watch_.note(sign(1, {policy(5)}), now);
    watch_.note(sign(2), now);  // has nothing to do until the director's next command: that is no standstill
  }
  EXPECT_FALSE(watch_.find_hang(5.0, start_ + 6s));
  const auto found = watch_.find_hang(4.9, start_ + 6s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 1);
  EXPECT_EQ(found->actor, "policy");
  EXPECT_EQ(found->operation, "policy gradients");
  EXPECT_DOUBLE_EQ(found->seconds, 5.0);
  EXPECT_EQ(watch_.last_of(1, start_ + 6s)->operation, "policy gradients");
  EXPECT_FALSE(watch_.last_of(2, start_ + 6s));
}

TEST_F(RankWatch, AnActorThatHangsBesideOthersThatGetOnIsNamed) {
  begin_all();
  for (int second = 1; second <= 6; ++second) {
    watch_.note(sign(1, {policy(static_cast<uint64_t>(second)), checkpointer(9)}), start_ + second * 1s);
  }
  const auto found = watch_.find_hang(4, start_ + 6s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 1);
  EXPECT_EQ(found->actor, "checkpointer");
  EXPECT_EQ(found->operation, "write checkpoint");
}

TEST_F(RankWatch, TheOneForWhomOthersWaitIsNamedThoughItStoppedAfterThem) {
  begin_all();
  watch_.note(sign(0, {policy(3, true)}), start_ + 1s);
  watch_.note(sign(1, {policy(3)}), start_ + 3s);
  watch_.note(sign(2, {policy(3, true)}), start_ + 2s);
  const auto found = watch_.find_hang(8, start_ + 10s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 1);
  EXPECT_FALSE(found->waits);
  EXPECT_DOUBLE_EQ(found->seconds, 7.0);
}

TEST_F(RankWatch, WhereAllWaitForEachOtherTheFirstIsNamed) {
  begin_all();
  watch_.note(sign(0, {policy(3, true)}), start_ + 2s);
  watch_.note(sign(1, {policy(3, true)}), start_ + 1s);
  watch_.note(sign(2, {checkpointer(3)}), start_ + 9s);  // has only begun
  const auto found = watch_.find_hang(8, start_ + 10s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 1);
  EXPECT_TRUE(found->waits);
}

TEST_F(RankWatch, ARankWithNothingToDoIsNamedWhereOthersWaitForIt) {
  begin_all();
  watch_.note(sign(0, {policy(3, true)}), start_ + 1s);
  watch_.note(sign(1, {policy(3, true)}), start_ + 1s);
  watch_.note(sign(2), start_ + 2s);
  const auto found = watch_.find_hang(8, start_ + 10s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 2);
  EXPECT_EQ(found->actor, "");
  EXPECT_EQ(found->operation, "idle");
}

TEST_F(RankWatch, AllAreIdleSinceTheLastOfThemIs) {
  watch_.begin(3, start_);
  watch_.welcome(words(0), start_);
  EXPECT_FALSE(watch_.all_idle(start_ + 1s)) << "others have not reported";
  watch_.welcome(words(1), start_);
  watch_.welcome(words(2), start_ + 1s);
  EXPECT_DOUBLE_EQ(watch_.all_idle(start_ + 5s).value(), 4);
  watch_.note(sign(1, {policy(3)}), start_ + 6s);
  EXPECT_FALSE(watch_.all_idle(start_ + 100s)) << "one is at work";
  watch_.note(sign(1), start_ + 101s);
  watch_.note(sign(1), start_ + 105s);
  EXPECT_DOUBLE_EQ(watch_.all_idle(start_ + 106s).value(), 5);
}

TEST_F(RankWatch, AnActorThatHasEndedAndBegunAgainHasGotOn) {
  begin_all();
  watch_.note(sign(1, {policy(5)}), start_ + 1s);
  watch_.note(sign(1), start_ + 5s);
  watch_.note(sign(1, {policy(5)}), start_ + 6s);  // as after a restart of the count
  EXPECT_FALSE(watch_.find_hang(3, start_ + 8s));
}

}  // namespace troupe::actors
