// The supervisor by itself: its ranks are a process that says nothing, and what this test says in their name.
#include "actors/guarded.hpp"
#include "actors/supervisor.hpp"
#include "io/job.hpp"
#include "io/ledger.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <vector>

namespace troupe::actors {

using namespace std::chrono_literals;
using test::temporary_folder;

struct plain_config : caf::actor_system_config {
  plain_config() { add_message_types<caf::id_block::troupe>(); }
};

/// A supervisor whose ranks are a process that does nothing, and what it says at the end.
class supervised {
public:
  explicit supervised(std::vector<std::string> ranks) : system_(config_), ended_(told_.get_future()) {
    io::job job;
    job.recovery.restarts = 0;
    on_duty_ = system_.spawn<caf::detached>(
        supervisor,
        supervisor_settings{.job = job,
                            .run = run_,
                            .given = {},
                            .command = [ranks = std::move(ranks)](uint64_t, const launch_plan&) { return ranks; },
                            .guard = [] { return std::vector<std::string>{}; },
                            .metrics = {},
                            .on_end = [this](run_result r) { told_.set_value(std::move(r)); }});
    caf::anon_send(on_duty_, run_atom_v);
  }

  caf::actor_system& system() { return system_; }
  const supervisor_actor& actor() const { return on_duty_; }
  const io::run_directory& run() const { return run_; }
  run_result end() {
    if (ended_.wait_for(30s) != std::future_status::ready) {
      ADD_FAILURE() << "the run has not ended";
      return {};
    }
    return ended_.get();
  }

private:
  temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  io::run_lock lock_{run_};
  plain_config config_;
  caf::actor_system system_;
  std::promise<run_result> told_;
  std::future<run_result> ended_;
  supervisor_actor on_duty_;
};

TEST(Supervisor, WhatADirectorOfAnotherAttemptSaysIsNoEnd) {
  supervised one({"sleep", "1"});
  caf::anon_send(one.actor(), attempt_result{.attempt = 7, .outcome = outcome::finished, .code = 0, .text = ""});
  EXPECT_EQ(one.end().outcome, outcome::failed) << "its ranks ended without a word";
  EXPECT_FALSE(std::filesystem::exists(one.run().fence(1).folder())) << "late processes are shut out at the end too";
}

TEST(Supervisor, ASupervisorThatHasLostItsRunBeginsNoAttempt) {
  supervised one({"sleep", "60"});
  const auto give_up = std::chrono::steady_clock::now() + 20s;
  while (one.run().attempt() < 1 && std::chrono::steady_clock::now() < give_up) {
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(one.run().begin_attempt(), 2) << "by another, to whom the file system gave the lock";
  caf::anon_send(one.actor(), retry_atom_v);
  const run_result told = one.end();
  EXPECT_EQ(told.outcome, outcome::failed);
  EXPECT_NE(told.text.find("attempt 2 has begun"), std::string::npos) << told.text;
  EXPECT_EQ(one.run().attempt(), 2);
  EXPECT_TRUE(std::filesystem::exists(one.run().fence(2).folder())) << "which is in use";
}

TEST(Supervisor, ARankOfAnotherVersionEndsTheAttemptWithTheReason) {
  supervised one({"sleep", "60"});
  const caf::actor stage = one.system().spawn([](caf::event_based_actor*) { return caf::behavior{[](int) {}}; });
  caf::scoped_actor self(one.system());
  hello words{.version = "0.0.9, messages 1",
              .attempt = 1,
              .rank = 0,
              .ranks = 1,
              .host = "node7",
              .pid = 1,
              .stage = caf::actor_cast<caf::strong_actor_ptr>(stage)};
  std::string refusal;
  self->request(one.actor(), 30s, words)
      .receive([](note_atom) {}, [&](const caf::error& reason) { refusal = to_troupe_error(reason).what(); });
  EXPECT_NE(refusal.find("rank 0 on node7 runs troupe 0.0.9, messages 1, its supervisor"), std::string::npos)
      << refusal;

  const run_result told = one.end();
  EXPECT_EQ(told.outcome, outcome::failed);
  EXPECT_NE(told.text.find("on all nodes"), std::string::npos) << told.text;
  bool noted = false;
  for (const io::ledger_event& event : io::read_ledger(one.run().ledger())) {
    noted = noted || event.kind == io::ledger_kind::worker_failed;
  }
  EXPECT_TRUE(noted);
  caf::anon_send_exit(stage, caf::exit_reason::user_shutdown);
}

}  // namespace troupe::actors
