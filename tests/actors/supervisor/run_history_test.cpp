#include "actors/supervisor/run_history.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <thread>
#include <vector>

namespace troupe::actors {

using io::ledger_kind;

class RunHistory : public ::testing::Test {
protected:
  std::vector<io::ledger_event> written() const { return io::read_ledger(run_.ledger()); }

  const test::temporary_folder folder_;
  const io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
};

TEST_F(RunHistory, EventsBelongToTheAttemptThatHasBegun) {
  run_history history(run_);
  EXPECT_EQ(history.attempt(), 0U);
  history.append(ledger_kind::run_started, {{"pid", int64_t{7}}});
  history.begin_attempt(3);
  history.append(ledger_kind::attempt_started);
  const auto events = written();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].attempt, 0);
  EXPECT_EQ(events[0].fields, (io::ledger_fields{{"pid", int64_t{7}}}));
  EXPECT_EQ(events[1].attempt, 3);
  EXPECT_EQ(events[1].kind, ledger_kind::attempt_started);
}

TEST_F(RunHistory, WhatTheDirectorTellsKeepsItsKindPhaseAndCounter) {
  run_history history(run_);
  history.begin_attempt(1);
  EXPECT_EQ(history.note({ledger_kind::checkpoint, io::phase::sft, 20, "checkpoints/sft/update-000020"}),
            ledger_kind::checkpoint);
  EXPECT_EQ(history.note({ledger_kind::phase_started, io::phase::ppo, 50, ""}), ledger_kind::phase_started);
  EXPECT_EQ(history.note({ledger_kind::phase_resumed, io::phase::ppo, 4, "restored"}), ledger_kind::phase_resumed);
  const auto events = written();
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].kind, ledger_kind::checkpoint);
  EXPECT_EQ(events[0].phase, "sft");
  EXPECT_EQ(events[0].counter, 20);
  EXPECT_EQ(events[0].fields, (io::ledger_fields{{"text", std::string("checkpoints/sft/update-000020")}}));
  EXPECT_EQ(events[1].counter, 0);
  EXPECT_EQ(events[1].fields, (io::ledger_fields{{"total", int64_t{50}}})) << "no text, no field of it";
}

TEST_F(RunHistory, WhatIsNotTheDirectorsToSayIsANote) {
  run_history history(run_);
  for (const ledger_kind kind : {ledger_kind::run_finished, ledger_kind::worker_failed, ledger_kind::recovered}) {
    EXPECT_EQ(history.note({kind, io::phase::sft, 1, "text"}), ledger_kind::note) << to_string(kind);
    EXPECT_EQ(written().back().kind, ledger_kind::note) << to_string(kind);
  }
}

TEST_F(RunHistory, PhasesThatAreFinishedStayFinished) {
  {
    run_history history(run_);
    EXPECT_TRUE(history.finished_phases().empty());
    history.note({ledger_kind::phase_finished, io::phase::sft, 10, ""});
    history.note({ledger_kind::phase_started, io::phase::reward, 9, ""});
    EXPECT_EQ(history.finished_phases(), (std::set<io::phase>{io::phase::sft}));
  }
  EXPECT_EQ(run_history(run_).finished_phases(), (std::set<io::phase>{io::phase::sft})) << "a new supervisor reads it";
}

TEST_F(RunHistory, StopsWithoutProgressAreCountedOverSupervisors) {
  const auto stopped_with = [this](std::initializer_list<ledger_kind> events) {
    run_history history(run_);
    history.append(ledger_kind::run_started);
    for (const ledger_kind one : events) {
      history.append(one);
    }
    const int64_t stops = history.fruitless_stops();
    history.append(ledger_kind::stopped);
    return stops;
  };
  EXPECT_EQ(stopped_with({}), 1);
  EXPECT_EQ(stopped_with({ledger_kind::attempt_started, ledger_kind::stopped}), 2) << "twice told, one supervisor";
  EXPECT_EQ(stopped_with({ledger_kind::worker_failed}), 3);
  EXPECT_EQ(stopped_with({ledger_kind::checkpoint}), 0);
  EXPECT_EQ(stopped_with({}), 1) << "the one before had got on";
  EXPECT_EQ(stopped_with({ledger_kind::run_failed}), 2);
  EXPECT_EQ(stopped_with({}), 3);
}

TEST_F(RunHistory, AFullDiskIsBorneWithForAWhile) {
  run_history history(run_);
  history.append(ledger_kind::run_started);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto size = static_cast<rlim_t>(std::filesystem::file_size(run_.ledger()));
  const rlimit full{size + 10, before.rlim_max};  // some bytes of a line still fit
  ::setrlimit(RLIMIT_FSIZE, &full);
  std::thread healer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    ::setrlimit(RLIMIT_FSIZE, &before);
  });
  EXPECT_NO_THROW(history.append(ledger_kind::attempt_started));
  healer.join();
  const auto events = written();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].kind, ledger_kind::attempt_started);
}

TEST_F(RunHistory, ADamagedLedgerIsNamed) {
  std::ofstream(run_.ledger()) << "{ this is no event }\n";
  test::expect_error(errc::bad_file, "line 1", [this] { const run_history history(run_); });
}

}  // namespace troupe::actors
