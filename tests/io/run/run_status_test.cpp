/// How a run stands, read from a directory that a supervisor may be writing at the same time.
#include "io/checkpoint/checkpoint.hpp"
#include "io/job/job.hpp"
#include "io/run/ledger.hpp"
#include "io/run/metrics.hpp"
#include "io/run/run_status.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <optional>
#include <thread>

namespace troupe::io {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::temporary_folder;

class RunStatus : public ::testing::Test {
protected:
  RunStatus() : run(run_directory::open_or_create(folder / "run")), ledger(run) {
    std::ofstream(run.job())
        << "[run]\nphases = sft ppo\n[model]\npolicy = /m\nreward = /r\n[data.a]\npath = /a.jsonl\n"
           "[sft]\nupdates = 10\n[ppo]\niterations = 100\n";
  }
  void event(ledger_kind kind, std::vector<std::pair<std::string, key_value>> fields = {},
             const std::string& phase = "") {
    ledger.append({.kind = kind, .time = clock += 1, .attempt = 1, .phase = phase, .fields = std::move(fields)});
  }
  void records(int64_t first, int64_t last, double seconds_each, int64_t attempt = 1) {
    metrics_writer metrics(run.metrics());
    for (int64_t i = first; i <= last; ++i) {
      metrics.append(
          {.phase = "ppo", .update = 4 * i, .iteration = i, .attempt = attempt, .time = clock += seconds_each});
    }
  }
  run_status status(size_t most_failures = 5) const { return read_run_status(run.root(), most_failures); }

  temporary_folder folder;
  run_directory run;
  ledger_writer ledger;
  double clock = 1000;
};

TEST_F(RunStatus, AFolderThatIsNoRunIsRefused) {
  expect_error(errc::not_found, "no run", [&] { read_run_status(folder / "nowhere"); });
  expect_error(errc::bad_argument, "not a run", [&] { read_run_status(folder.path()); });
}

TEST_F(RunStatus, BeforeAnythingHasHappened) {
  const run_status s = status();
  EXPECT_EQ(s.state, run_state::not_started);
  EXPECT_EQ(s.phases, (std::vector<std::string>{"sft", "ppo"}));
  EXPECT_EQ(s.phase, "");
  EXPECT_EQ(s.ranks, 0);
  EXPECT_FALSE(s.checkpoint || s.total || s.per_second || s.seconds_left || s.last_record);
}

TEST_F(RunStatus, ARunUnderWayHasItsRateAndTimeLeft) {
  const run_lock lock(run);
  event(ledger_kind::run_started);
  event(ledger_kind::attempt_started,
        {{"ranks", int64_t{3}}, {"launcher", std::string("srun")}, {"hosts", std::string("node1 node2")}});
  event(ledger_kind::phase_finished, {}, "sft");
  event(ledger_kind::phase_started, {}, "ppo");
  records(1, 30, 10);  // an earlier attempt's pace must not count ...
  records(31, 40, 2, 2);
  const run_status s = status();
  EXPECT_EQ(s.state, run_state::running);
  EXPECT_NE(s.holder.find("pid "), std::string::npos);
  EXPECT_EQ(s.finished_phases, std::vector<std::string>{"sft"});
  EXPECT_EQ(s.phase, "ppo");
  EXPECT_EQ(s.unit, "iteration");
  EXPECT_EQ(s.counter, 40);
  EXPECT_EQ(s.total, 100);
  EXPECT_DOUBLE_EQ(s.per_second.value_or(0), 0.5);
  EXPECT_DOUBLE_EQ(s.seconds_left.value_or(0), 120);
  EXPECT_EQ(s.last_record, clock);
  EXPECT_EQ(s.ranks, 3);
  EXPECT_EQ(s.launcher, "srun");
  EXPECT_EQ(s.hosts, "node1 node2");
}

TEST_F(RunStatus, APhaseThatGoesByEpochsHasTheTotalThatItsBeginningTold) {
  std::ofstream(run.job()) << "[run]\nphases = sft ppo\n[model]\npolicy = /m\nreward = /r\n[data.a]\npath = /a.jsonl\n"
                              "[sft]\nepochs = 2\n[ppo]\niterations = 100\n";
  event(ledger_kind::phase_started, {{"total", int64_t{44}}}, "sft");
  {
    metrics_writer metrics(run.metrics());
    for (int64_t i = 1; i <= 11; ++i) {
      metrics.append({.phase = "sft", .update = i, .attempt = 1, .time = clock += 2});
    }
  }
  EXPECT_EQ(status().total, 44);
  EXPECT_DOUBLE_EQ(status().seconds_left.value_or(0), 66);
  event(ledger_kind::phase_started, {{"total", int64_t{7}}}, "ppo");
  EXPECT_EQ(status().total, 100) << "the job may have been given other iterations since";
}

TEST_F(RunStatus, OnlyTheLastRecordsMakeTheRate) {
  event(ledger_kind::phase_started, {}, "ppo");
  records(1, 50, 10);
  records(51, 80, 1);
  EXPECT_DOUBLE_EQ(status().per_second.value_or(0), 1);
}

TEST_F(RunStatus, AnUnfinishedLineIsLeftOutAndADamagedOneNamed) {
  event(ledger_kind::phase_started, {}, "ppo");
  records(1, 2, 1);
  std::ofstream(run.ledger(), std::ios::app) << R"({"event":"run_fai)";
  std::ofstream(run.metrics(), std::ios::app) << R"({"phase":"ppo","upd)";
  EXPECT_EQ(status().counter, 2);
  std::ofstream(run.metrics(), std::ios::app) << "\n";
  expect_error(errc::bad_file, "metrics.jsonl line 3", [&] { status(); });
}

TEST_F(RunStatus, FailuresCarryWhoWhatWhyAndTheRecovery) {
  event(ledger_kind::attempt_started, {{"ranks", int64_t{2}}});
  event(ledger_kind::worker_failed, {{"rank", int64_t{0}}, {"reason", std::string("first")}});
  event(ledger_kind::worker_hung, {{"rank", int64_t{1}},
                                   {"host", std::string("node2")},
                                   {"actor", std::string("policy")},
                                   {"operation", std::string("generate")},
                                   {"reason", std::string("no progress")}});
  event(ledger_kind::host_suspected, {{"host", std::string("node2")}, {"reason", std::string("left out for 60 s")}});
  event(ledger_kind::card_suspected, {{"host", std::string("node3")},
                                      {"card", int64_t{1}},
                                      {"failures", int64_t{2}},
                                      {"reason", std::string("failure 2 of its card 1")}});
  event(ledger_kind::recovered, {{"seconds", 1.5}});
  event(ledger_kind::checkpoint_failed, {{"text", std::string("disk full")}});
  const run_status s = status(4);
  EXPECT_EQ(s.failures, 3) << "a host that is suspected, or a card, is not one more";
  EXPECT_EQ(s.recoveries, 1);
  ASSERT_EQ(s.last_failures.size(), 4U);
  EXPECT_EQ(s.last_failures[2].host, "node3");
  EXPECT_EQ(s.last_failures[2].card, 1);
  EXPECT_EQ(s.last_failures[2].kind, "card_suspected");
  EXPECT_EQ(s.last_failures[1].card, -1);
  EXPECT_EQ(s.last_failures[1].host, "node2");
  EXPECT_EQ(s.last_failures[1].reason, "left out for 60 s");
  const run_failure& hung = s.last_failures[0];
  EXPECT_EQ(hung.kind, "worker_hung");
  EXPECT_EQ(hung.rank, 1);
  EXPECT_EQ(hung.host, "node2");
  EXPECT_EQ(hung.actor, "policy");
  EXPECT_EQ(hung.operation, "generate");
  EXPECT_EQ(hung.reason, "no progress");
  EXPECT_DOUBLE_EQ(hung.recovered_s, 1.5);
  EXPECT_EQ(s.last_failures[3].reason, "disk full");
  EXPECT_LT(s.last_failures[3].recovered_s, 0);
}

TEST_F(RunStatus, HowARunEndedIsTold) {
  event(ledger_kind::run_started);
  EXPECT_EQ(status().state, run_state::interrupted);
  event(ledger_kind::stopped, {{"signal", int64_t{10}}});
  EXPECT_EQ(status().state, run_state::stopped);
  event(ledger_kind::run_started);
  event(ledger_kind::run_failed, {{"reason", std::string("NaN in the loss")}});
  EXPECT_EQ(status().state, run_state::failed);
  EXPECT_EQ(status().reason, "NaN in the loss");
  {
    const run_lock lock(run);
    EXPECT_EQ(status().state, run_state::failed) << "the supervisor is only tidying up";
    event(ledger_kind::run_started);
    EXPECT_EQ(status().state, run_state::running);
    EXPECT_EQ(status().reason, "");
  }
  event(ledger_kind::run_finished);
  EXPECT_EQ(status().state, run_state::finished);
}

TEST_F(RunStatus, ReadingLeavesTheLockFree) {
  status();
  const run_lock lock(run);
  EXPECT_NE(lock_holder(run), "");
  EXPECT_NE(lock_holder(run), "") << "and asking twice changes nothing";
}

TEST_F(RunStatus, AskingMakesNobodysStartFail) {
  std::atomic<bool> over = false;
  std::thread curious([&] {
    while (!over) {
      lock_holder(run);
    }
  });
  for (int i = 0; i < 5000; ++i) {
    EXPECT_NO_THROW(run_lock{run});
  }
  over = true;
  curious.join();
}

TEST_F(RunStatus, TheLastCheckpointIsTheOneCommittedLast) {
  const auto save = [&](const std::string& phase, const std::string& unit, int64_t counter) {
    const fs::path at = checkpoint_folder(run.checkpoints(), phase, unit, counter);
    const std::vector<float> weight = {1, 2};
    checkpoint_content content;
    content.arrays.push_back({.name = "w", .shape = {2}, .values = weight});
    const attempt_fence fence = run.fence(run.begin_attempt());
    const auto file = write_checkpoint(at, content, 0, 1, fence);
    commit_checkpoint(at, {.phase = phase, .unit = unit, .counter = counter, .files = {file}}, fence);
    return at;
  };
  const fs::path old = save("sft", "update", 10);
  fs::last_write_time(old / "manifest.json", fs::file_time_type::clock::now() - std::chrono::hours(1));
  save("ppo", "iteration", 5);
  fs::create_directories(checkpoint_folder(run.checkpoints(), "ppo", "iteration", 6));  // being written
  const std::optional<standing_checkpoint> found = status().checkpoint;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->folder, "checkpoints/ppo/iteration-000005");
  EXPECT_EQ(found->phase, "ppo");
  EXPECT_EQ(found->counter, 5);
  EXPECT_NEAR(found->time, static_cast<double>(::time(nullptr)), 60);
}

}  // namespace
}  // namespace troupe::io
