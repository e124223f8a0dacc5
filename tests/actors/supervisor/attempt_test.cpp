#include "actors/supervisor/attempt.hpp"
#include "base/error.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <future>
#include <thread>
#include <vector>

namespace troupe::actors {

using namespace std::chrono_literals;
using host_set = std::set<std::string>;

/// Three ranks on two hosts; in place of the launcher runs a program that waits.
class Attempt : public ::testing::Test {
protected:
  using clock = attempt::clock;

  static launch_plan three_ranks() {
    launch_plan plan;
    plan.kind = launcher_kind::srun;
    plan.ranks = 3;
    plan.hosts = {{"node1", 2}, {"node2", 1}};
    return plan;
  }
  attempt begin(std::vector<std::string> program = {"sleep", "600"}, launch_plan plan = three_ranks()) {
    return {7,
            std::move(plan),
            {.argv = std::move(program), .extra = {}},
            [this](int status) { ended_.set_value(status); },
            std::make_shared<console>(console::settings{}),
            clock::now()};
  }

  void report(attempt& to, int32_t rank, clock::time_point at) {
    stages_.push_back(caf::actor_cast<caf::strong_actor_ptr>(
        system_.spawn([](caf::event_based_actor*) { return caf::behavior{[](int) {}}; })));
    to.ranks().welcome({.attempt = 7,
                        .rank = rank,
                        .ranks = 3,
                        .host = rank < 2 ? "node1.site.example" : "node2.site.example",  // not as Slurm has it
                        .pid = 100 + rank,
                        .stage = stages_.back()},
                       at);
  }
  void report_all(attempt& to, clock::time_point at) {
    for (int32_t r = 0; r < 3; ++r) {
      report(to, r, at);
    }
  }
  static void beat_of(attempt& to, int32_t rank, uint64_t pulse, clock::time_point at) {
    to.ranks().note(
        {.attempt = 7, .rank = rank, .busy = {{.actor = "policy", .operation = "generate", .pulse = pulse}}}, at);
  }

  bool ends_within(std::chrono::milliseconds time) { return end_.wait_for(time) == std::future_status::ready; }
  int signal_at_the_end() {
    const int status = end_.get();
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }

  void TearDown() override {
    for (const caf::strong_actor_ptr& stage : stages_) {
      caf::anon_send_exit(stage, caf::exit_reason::kill);
    }
  }

  const io::recovery_section limits_{
      .start_deadline_s = 120, .worker_deadline_s = 300, .stop_deadline_s = 60, .silence_deadline_s = 10};
  std::promise<int> ended_;
  std::future<int> end_ = ended_.get_future();
  caf::actor_system_config config_;
  caf::actor_system system_{config_};
  std::vector<caf::strong_actor_ptr> stages_;
};

TEST_F(Attempt, RanksThatHaveTimeAreNotOverdue) {
  attempt one = begin();
  EXPECT_EQ(one.number(), 7U);
  EXPECT_FALSE(one.overdue(limits_, one.started() + 119s));
  report_all(one, one.started() + 5s);
  EXPECT_FALSE(one.overdue(limits_, one.started() + 14s));
  EXPECT_FALSE(one.ending());
}

TEST_F(Attempt, ALaunchThatNobodyReportsFromIsTheLaunchersFault) {
  const attempt one = begin();
  const auto found = one.overdue(limits_, one.started() + 121s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, io::ledger_kind::worker_hung);
  EXPECT_EQ(found->rank, 0);
  EXPECT_EQ(found->reason, "waited 121.0 s for its first word");
  EXPECT_EQ(found->suspects, host_set());
}

TEST_F(Attempt, ACardIsFoundByItsNameWhereNumbersTellCardsApart) {
  const std::string failure = "rank 2: policy: card 0 (H100, host node2.site.example): an error";
  attempt one = begin();
  report_all(one, one.started());
  const auto found = one.card_in(failure);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->node, "node2");
  EXPECT_EQ(found->rank, 2);
  EXPECT_FALSE(one.card_in("card 0 (H100, host node3.site.example): an error"));
}

TEST_F(Attempt, ACardThatItsRankAloneIsShownIsNotFound) {
  launch_plan plan = three_ranks();
  plan.cards_are_told_apart = false;
  attempt one = begin({"sleep", "600"}, plan);
  report_all(one, one.started());
  EXPECT_FALSE(one.card_in("rank 1: policy: card 0 (H100, host node1.site.example): an error"));
}

TEST_F(Attempt, RanksMuchLaterThanTheFirstWillNotCome) {
  attempt one = begin();
  const auto first = one.started() + 20s;
  report(one, 0, first);
  report(one, 1, first + 1s);
  beat_of(one, 0, 0, first + 14s);
  beat_of(one, 1, 0, first + 14s);
  EXPECT_FALSE(one.overdue(limits_, first + 15s));
  const auto found = one.overdue(limits_, first + 16s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 2);
  EXPECT_EQ(found->suspects, host_set({"node2"}));
}

TEST_F(Attempt, ASilentRankIsNamedAndHostsThatAreSilentNearlyAsLongAreSuspects) {
  attempt one = begin();
  const auto start = one.started();
  report_all(one, start);
  beat_of(one, 0, 1, start + 8s);
  beat_of(one, 1, 1, start + 8s);
  auto found = one.overdue(limits_, start + 11s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, io::ledger_kind::worker_hung);
  EXPECT_EQ(found->rank, 2);
  EXPECT_EQ(found->reason, "no sign of life for 11.0 s");
  EXPECT_EQ(found->suspects, host_set({"node2"}));
  found = one.overdue(limits_, start + 14s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->suspects, host_set({"node1", "node2"})) << "several nodes may have gone at once";
}

TEST_F(Attempt, RanksThatAllHaveNothingToDoHang) {
  attempt one = begin();
  const auto start = one.started();
  report_all(one, start);
  const auto rest = [&](std::chrono::seconds at) {
    for (int32_t r = 0; r < 3; ++r) {
      one.ranks().note({.attempt = 7, .rank = r, .busy = {}}, start + at);
    }
  };
  rest(299s);
  EXPECT_FALSE(one.overdue(limits_, start + 300s));
  rest(300s);
  const auto found = one.overdue(limits_, start + 301s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->kind, io::ledger_kind::worker_hung);
  EXPECT_EQ(found->rank, -1);
  EXPECT_NE(found->reason.find("no rank has had anything to do for 301.0 s"), std::string::npos) << found->reason;
}

TEST_F(Attempt, ARankThatStandsStillIsNamedAndItsHostNotSuspected) {
  attempt one = begin();
  const auto start = one.started();
  report_all(one, start);
  for (int32_t r = 0; r < 3; ++r) {
    beat_of(one, r, 0, start);
    beat_of(one, r, r == 1 ? 0 : 5, start + 299s);
  }
  EXPECT_FALSE(one.overdue(limits_, start + 300s));
  const auto found = one.overdue(limits_, start + 301s);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 1);
  EXPECT_EQ(found->reason, "no progress for 301.0 s");
  ASSERT_TRUE(found->at);
  EXPECT_EQ(found->at->actor, "policy");
  EXPECT_EQ(found->at->operation, "generate");
  EXPECT_EQ(found->suspects, host_set());
}

TEST_F(Attempt, AnEndBeforeTheWorkIsDoneSaysHow) {
  attempt one = begin({"sh", "-c", "echo srun: error: node2: Killed >&2"});
  report(one, 2, one.started());
  end_.wait();
  EXPECT_EQ(one.untimely_end(0).reason, "it ended before its work was done: srun: error: node2: Killed");
  const trouble killed = one.untimely_end(SIGKILL);
  EXPECT_EQ(killed.kind, io::ledger_kind::worker_failed);
  EXPECT_EQ(killed.rank, -1) << "which of the three is unknown";
  EXPECT_EQ(killed.reason, "killed by signal 9 (Killed): srun: error: node2: Killed");
  EXPECT_EQ(killed.fields, (io::ledger_fields{{"exit", std::string("killed by signal 9 (Killed)")}}));
  EXPECT_EQ(killed.suspects, host_set({"node1"})) << "whose ranks did not report";
}

TEST_F(Attempt, SlurmHasRefusedItUntilAllRanksAreThere) {
  attempt one = begin({"sh", "-c", "exit 120"});
  const int status = end_.get();
  EXPECT_TRUE(one.refused(status));
  EXPECT_FALSE(one.refused(1 << 8)) << "a rank's own";
  report(one, 0, one.started());
  EXPECT_TRUE(one.refused(status));
  report(one, 1, one.started());
  report(one, 2, one.started());
  EXPECT_FALSE(one.refused(status));
}

TEST_F(Attempt, OnceCondemnedItsLauncherIsEndedGently) {
  attempt one = begin();
  one.condemn("no sign of life", clock::now());
  EXPECT_TRUE(one.condemned());
  EXPECT_TRUE(one.ending());
  EXPECT_EQ(one.failure(), "no sign of life");
  EXPECT_EQ(signal_at_the_end(), SIGTERM) << "which kills its ranks first";
  one.note_end(SIGKILL);
  EXPECT_EQ(one.failure(), "no sign of life (killed by signal 9 (Killed))");
}

TEST_F(Attempt, ALauncherThatWaitsForADeadNodeIsKilledASecondLater) {
  const test::temporary_folder folder;
  const auto ready = folder / "ready";
  attempt one = begin({"sh", "-c", "trap '' TERM; touch " + ready.string() + "; sleep 600"});
  while (!std::filesystem::exists(ready)) {
    std::this_thread::sleep_for(1ms);
  }
  const auto now = clock::now();
  one.condemn("no sign of life", now);
  one.hasten_end(limits_, now + 900ms);
  EXPECT_FALSE(ends_within(20ms));
  one.hasten_end(limits_, now + 1100ms);
  EXPECT_EQ(signal_at_the_end(), SIGKILL);
}

TEST_F(Attempt, AfterTheResultRanksHaveUntilTheStopDeadline) {
  attempt one = begin();
  const auto now = clock::now();
  one.conclude({.outcome = outcome::finished, .text = ""}, now);
  EXPECT_TRUE(one.ending());
  EXPECT_FALSE(one.condemned());
  one.hasten_end(limits_, now + 59s);
  EXPECT_FALSE(ends_within(20ms));
  one.hasten_end(limits_, now + 61s);
  EXPECT_EQ(signal_at_the_end(), SIGKILL);
}

TEST_F(Attempt, ReleasedItsLauncherIsGone) {
  attempt one = begin();
  EXPECT_FALSE(one.released());
  one.release();
  EXPECT_TRUE(one.released());
  EXPECT_EQ(signal_at_the_end(), SIGKILL);
  one.hasten_end(limits_, clock::now() + 1h);  // there is nothing left to hasten
}

TEST_F(Attempt, AProgramThatIsMissingIsAnError) { EXPECT_THROW(begin({"/no/such/program"}), error); }

}  // namespace troupe::actors
