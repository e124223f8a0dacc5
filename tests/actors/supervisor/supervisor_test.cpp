// The supervisor by itself: its ranks are a process that says nothing, and what this test says in their name.
#include "actors/protocol/error_replies.hpp"
#include "actors/supervisor/supervisor.hpp"
#include "io/job/job.hpp"
#include "io/run/ledger.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace troupe::actors {

using namespace std::chrono_literals;
using test::temporary_folder;

struct plain_config : caf::actor_system_config {
  plain_config() { add_message_types<caf::id_block::troupe>(); }
};

/// A supervisor in an allocation of three hosts, whose srun is a script of this test's; and the ranks' voices.
class Supervisor : public ::testing::Test {
protected:
  static allocation three_hosts() {
    return {.job_id = "42", .hosts = {"node1", "node2", "node3"}, .cpus = {2, 2, 2}, .batch_host = "node1"};
  }

  ~Supervisor() override {
    ::setenv("PATH", path_.c_str(), 1);
    for (const caf::strong_actor_ptr& stage : stages_) {
      caf::anon_send_exit(stage, caf::exit_reason::kill);
    }
  }

  /// Runs in place of srun; scontrol and squeue are not to be had.
  void let_srun_be(const std::string& script) {
    const auto bin = folder_ / "bin";
    std::filesystem::create_directory(bin);
    std::ofstream(bin / "srun") << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(bin / "srun", std::filesystem::perms::owner_all);
    for (const char* name : {"scontrol", "squeue"}) {
      std::filesystem::create_symlink("/bin/false", bin / name);
    }
    ::setenv("PATH", (bin.string() + ":" + path_).c_str(), 1);
  }

  void begin(std::optional<allocation> given, std::vector<std::string> worker = {"sleep", "60"}) {
    on_duty_ = system_.spawn<caf::detached>(
        supervisor, supervisor_settings{.job = job_,
                                        .run = run_,
                                        .given = std::move(given),
                                        .command = [worker](uint64_t, const launch_plan&) { return worker; },
                                        .guard = [] { return std::vector<std::string>{}; },
                                        .metrics = {},
                                        .words = std::make_shared<console>(console::settings{}),
                                        .on_end = [this](run_result r) { ended_.set_value(std::move(r)); }});
    caf::anon_send(on_duty_, run_atom_v);
  }

  /// A stage that never answers.
  caf::strong_actor_ptr new_stage() {
    stages_.push_back(caf::actor_cast<caf::strong_actor_ptr>(system_.spawn([](caf::event_based_actor* self) {
      self->set_default_handler(caf::skip);
      return caf::behavior{[](int) {}};
    })));
    return stages_.back();
  }

  /// What the supervisor says against a rank that reports; empty: it is welcome.
  std::string refusal_of(hello words) {
    caf::scoped_actor self(system_);
    std::string refusal;
    self->request(on_duty_, 30s, std::move(words))
        .receive([](const caf::actor&) {}, [&](const caf::error& reason) { refusal = to_troupe_error(reason).what(); });
    return refusal;
  }

  /// All ranks of an attempt report, once it has begun; returns their stages.
  std::vector<caf::strong_actor_ptr> report_all(uint64_t attempt, int32_t ranks = 3) {
    while (events(io::ledger_kind::attempt_started).size() < attempt) {
      std::this_thread::sleep_for(5ms);
    }
    std::vector<caf::strong_actor_ptr> all;
    for (int32_t r = 0; r < ranks; ++r) {
      all.push_back(new_stage());
      EXPECT_EQ(refusal_of({.version = this_version(),
                            .attempt = attempt,
                            .rank = r,
                            .ranks = ranks,
                            .host = "some name",
                            .pid = 1,
                            .stage = all.back()}),
                "");
    }
    return all;
  }

  /// Rank 1 of three crashes in the first two attempts, and the third is told to stop: how they began.
  std::vector<io::ledger_event> crash_twice_on_one_host() {
    let_srun_be("exec sleep 60");
    begin(three_hosts());
    for (uint64_t attempt = 1; attempt <= 2; ++attempt) {
      caf::anon_send_exit(report_all(attempt)[1], caf::exit_reason::kill);
    }
    report_all(3);
    stop();
    return events(io::ledger_kind::attempt_started);
  }

  std::vector<io::ledger_event> events(io::ledger_kind kind) const {
    std::vector<io::ledger_event> found;
    for (io::ledger_event& event : io::read_ledger(run_.ledger())) {
      if (event.kind == kind) {
        found.push_back(std::move(event));
      }
    }
    return found;
  }
  static std::string text_of(const io::ledger_event& event, const std::string& field) {
    for (const auto& [name, value] : event.fields) {
      if (name == field) {
        return std::get<std::string>(value);
      }
    }
    return "";
  }

  static int64_t number_of(const io::ledger_event& event, const std::string& field) {
    for (const auto& [name, value] : event.fields) {
      if (name == field) {
        return std::get<int64_t>(value);
      }
    }
    return -1;
  }

  run_result result() {
    auto told = ended_.get_future();
    return told.wait_for(60s) == std::future_status::ready ? told.get() : run_result{outcome::failed, "no end"};
  }
  void stop() { caf::anon_send(on_duty_, stop_atom_v, int32_t{SIGTERM}); }

  const std::string path_ = std::getenv("PATH");
  const temporary_folder folder_;
  const io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  const io::run_lock lock_{run_};
  io::job job_;
  std::promise<run_result> ended_;
  plain_config config_;
  caf::actor_system system_{config_};
  supervisor_actor on_duty_;
  std::vector<caf::strong_actor_ptr> stages_;
};

TEST_F(Supervisor, ARankOfAnotherVersionEndsTheAttemptWithTheReason) {
  job_.recovery.restarts = 0;
  begin(std::nullopt);
  const std::string refusal = refusal_of({.version = "0.0.9, messages 1",
                                          .attempt = 1,
                                          .rank = 0,
                                          .ranks = 1,
                                          .host = "node7",
                                          .pid = 1,
                                          .stage = new_stage()});
  EXPECT_NE(refusal.find("rank 0 on node7 runs troupe 0.0.9, messages 1, its supervisor"), std::string::npos)
      << refusal;
  const run_result told = result();
  EXPECT_EQ(told.outcome, outcome::failed);
  EXPECT_NE(told.text.find("on all nodes"), std::string::npos) << told.text;
  EXPECT_EQ(events(io::ledger_kind::worker_failed).size(), 1U);
}

TEST_F(Supervisor, AHostWhoseRanksCrashAgainAndAgainGetsNoMore) {
  job_.place.ranks = 3;
  const auto attempts = crash_twice_on_one_host();
  EXPECT_EQ(text_of(attempts[0], "hosts"), "node1:1 node2:1 node3:1");
  EXPECT_EQ(text_of(attempts[1], "hosts"), "node1:1 node2:1 node3:1");
  EXPECT_EQ(text_of(attempts[2], "hosts"), "node1:2 node3:1");
  const auto suspected = events(io::ledger_kind::host_suspected);
  ASSERT_EQ(suspected.size(), 2U);
  EXPECT_EQ(text_of(suspected[0], "host"), "node2");
  EXPECT_EQ(text_of(suspected[0], "reason"), "its ranks died first, crash 1 in a row");
  EXPECT_EQ(text_of(suspected[1], "reason"), "its ranks died first, crash 2 in a row; left out for 60 s");
  caf::anon_send_exit(stages_.back(), caf::exit_reason::kill);
  EXPECT_EQ(result().outcome, outcome::stopped);
}

/// The stage ends as the actor of its rank has that has met this error of a card, which the kernels' errors name so.
static void fail_by_card(const caf::strong_actor_ptr& stage, int card) {
  const error failure(errc::device_failure, "policy: card {} (H100, host some name): an illegal memory access", card);
  caf::anon_send(caf::actor_cast<caf::actor>(stage), caf::exit_msg{caf::actor_addr{}, to_caf_error(failure)});
}

TEST_F(Supervisor, ACardThatHasFailedTwiceGetsNoMoreRanks) {
  job_.place.ranks = 4;
  job_.place.device = io::device_choice::cuda;
  const std::string told = folder_ / "left-out";
  let_srun_be("echo \"$TROUPE_CARDS_LEFT_OUT\" >> " + told + "; exec sleep 60");
  allocation given = three_hosts();
  given.cards_per_host = 2;
  begin(given);
  for (uint64_t attempt = 1; attempt <= 2; ++attempt) {
    const auto stages = report_all(attempt, 4);
    fail_by_card(stages[1], 1);
  }
  report_all(3, 4);
  std::string left_out;  // as the ranks of the third attempt hear it
  while (left_out.empty()) {
    std::ifstream file(told);
    std::getline(file >> std::ws, left_out);
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(left_out, "node1:1");
  const auto attempts = events(io::ledger_kind::attempt_started);
  EXPECT_EQ(text_of(attempts[1], "hosts"), "node1:2 node2:1 node3:1");
  EXPECT_EQ(text_of(attempts[2], "hosts"), "node1:1 node2:2 node3:1");
  EXPECT_EQ(text_of(attempts[2], "reason"), "without card 1 of node1, for 4 ranks");
  const auto failed = events(io::ledger_kind::card_suspected);
  ASSERT_EQ(failed.size(), 2U);
  EXPECT_TRUE(events(io::ledger_kind::host_suspected).empty()) << "the card alone, not its host besides";
  for (const io::ledger_event& event : failed) {
    EXPECT_EQ(text_of(event, "host"), "node1");
    EXPECT_EQ(number_of(event, "card"), 1);
  }
  EXPECT_EQ(number_of(failed[1], "failures"), 2);
  EXPECT_EQ(text_of(failed[0], "reason"), "failure 1 of its card 1");
  EXPECT_EQ(text_of(failed[1], "reason"), "failure 2 of its card 1; it is left out where the job can do without");
  const auto workers = events(io::ledger_kind::worker_failed);
  ASSERT_EQ(workers.size(), 2U);
  EXPECT_EQ(number_of(workers[0], "rank"), 1) << "of two cards of the first host, the second";
  EXPECT_NE(text_of(workers[0], "reason").find("card 1 (H100, host some name): an illegal memory access"),
            std::string::npos);
  stop();
  caf::anon_send_exit(stages_.back(), caf::exit_reason::kill);
  EXPECT_EQ(result().outcome, outcome::stopped);
}

TEST_F(Supervisor, ACardStaysWhereEachRankNeedsOneAndTheRunEndsWithItsError) {
  job_.place.ranks = 3;
  job_.place.device = io::device_choice::cuda;
  job_.recovery.restarts = 2;
  let_srun_be("exec sleep 60");
  allocation given = three_hosts();
  given.cards_per_host = 1;
  begin(given);
  for (uint64_t attempt = 1; attempt <= 3; ++attempt) {
    const auto stages = report_all(attempt);
    fail_by_card(stages[0], 0);
  }
  const run_result told = result();
  EXPECT_EQ(told.outcome, outcome::failed);
  EXPECT_NE(told.text.find("card 0 (H100, host some name): an illegal memory access"), std::string::npos) << told.text;
  const auto attempts = events(io::ledger_kind::attempt_started);
  EXPECT_EQ(text_of(attempts[2], "reason"),
            "card 0 of node1 stays, though it has failed twice: too few others are left");
  EXPECT_EQ(events(io::ledger_kind::card_suspected).size(), 3U);
}

TEST_F(Supervisor, WhatSlurmDoesNotStartIsNoFailureOfTheRun) {
  job_.place.ranks = 3;
  job_.recovery.restarts = 0;
  const std::string tries = folder_ / "tries";
  let_srun_be("echo >> " + tries + "; [ $(wc -l < " + tries + ") = 3 ] && exec sleep 60\n" +
              "echo 'srun: error: Unable to contact slurm controller' >&2; exit $SLURM_EXIT_ERROR");
  begin(three_hosts());
  report_all(3);
  const auto failures = events(io::ledger_kind::worker_failed);
  ASSERT_EQ(failures.size(), 2U);
  EXPECT_EQ(text_of(failures[1], "reason"), "exit code 120: srun: error: Unable to contact slurm controller");
  EXPECT_TRUE(events(io::ledger_kind::host_suspected).empty());
  stop();
  caf::anon_send_exit(stages_.back(), caf::exit_reason::kill);
  EXPECT_EQ(result().outcome, outcome::stopped);
}

TEST_F(Supervisor, WhatADirectorOfAnotherAttemptSaysIsNoEnd) {
  job_.recovery.restarts = 0;
  begin(std::nullopt, {"sleep", "1"});
  caf::anon_send(on_duty_, attempt_result{.attempt = 7, .outcome = outcome::finished, .text = ""});
  EXPECT_EQ(result().outcome, outcome::failed) << "its ranks ended without a word";
  EXPECT_FALSE(std::filesystem::exists(run_.fence(1).folder())) << "late processes are shut out at the end too";
}

TEST_F(Supervisor, WhereAnotherHasTakenOverItWritesNothingMore) {
  begin(std::nullopt, {"sleep", "60"});
  while (events(io::ledger_kind::attempt_started).empty()) {
    std::this_thread::sleep_for(5ms);
  }
  run_.begin_attempt();  // by a supervisor elsewhere, to which the lock has gone
  caf::anon_send(on_duty_, exited_atom_v, uint64_t{1}, int32_t{SIGKILL});
  const run_result told = result();
  EXPECT_EQ(told.outcome, outcome::failed);
  EXPECT_NE(told.text.find("another troupe has taken over"), std::string::npos) << told.text;
  EXPECT_EQ(events(io::ledger_kind::attempt_started).size(), 1U);
  EXPECT_TRUE(events(io::ledger_kind::run_failed).empty());
  EXPECT_EQ(run_.attempt(), 2);
  EXPECT_TRUE(std::filesystem::exists(run_.fence(2).folder())) << "which is in use";
}

TEST_F(Supervisor, AStopBetweenTwoAttemptsBeginsNoOther) {
  job_.place.ranks = 3;
  let_srun_be("exit 3");
  begin(three_hosts());
  while (events(io::ledger_kind::worker_failed).size() < 2) {  // the next comes after a pause
    std::this_thread::sleep_for(5ms);
  }
  stop();
  EXPECT_EQ(result().outcome, outcome::stopped);
  EXPECT_EQ(events(io::ledger_kind::attempt_started).size(), 2U);
}

TEST_F(Supervisor, ARunThatOnlyGoesRoundInTheQueueEndsAsAFailure) {
  job_.place.ranks = 3;
  job_.recovery.restarts = 2;
  let_srun_be("exec sleep 60");
  for (const char* round : {"first", "second"}) {
    run_history earlier(run_);
    earlier.append(io::ledger_kind::run_started);
    earlier.append(io::ledger_kind::stopped, {{"reason", std::string(round)}});
  }
  begin(three_hosts());
  while (events(io::ledger_kind::attempt_started).empty()) {
    std::this_thread::sleep_for(5ms);
  }
  stop();
  const run_result told = result();
  EXPECT_EQ(told.outcome, outcome::failed);
  EXPECT_NE(told.text.find("stopped 3 times in a row without a new checkpoint"), std::string::npos) << told.text;
  EXPECT_EQ(events(io::ledger_kind::run_failed).size(), 1U) << "from which the next one counts anew";
}

TEST_F(Supervisor, AProgramThatCannotBeStartedEndsTheRunWithItsOwnError) {
  job_.place.ranks = 3;
  job_.recovery.restarts = 1;
  let_srun_be("echo 'slurmstepd-node2: error: execve(): /opt/troupe: No such file or directory' >&2; exit 2");
  begin(three_hosts());
  const run_result told = result();
  EXPECT_EQ(told.outcome, outcome::failed);
  EXPECT_NE(told.text.find("failed 2 times"), std::string::npos) << told.text;
  EXPECT_NE(told.text.find("execve(): /opt/troupe: No such file"), std::string::npos) << told.text;
}

TEST_F(Supervisor, AHostThatSlurmNamesWhenItStartsNothingIsLeftOut) {
  job_.place.ranks = 3;
  let_srun_be("case \"$*\" in *node1,node2,node3*)\n"
              "  echo 'srun: error: Task launch failed on node node2: Communication failure' >&2; exit 143;;\n"
              "esac\nexec sleep 60");
  begin(three_hosts());
  report_all(3);
  EXPECT_EQ(text_of(events(io::ledger_kind::attempt_started)[2], "hosts"), "node1:2 node3:1");
  ASSERT_EQ(events(io::ledger_kind::host_suspected).size(), 1U) << "one refusal may be chance";
  stop();
  caf::anon_send_exit(stages_.back(), caf::exit_reason::kill);
  EXPECT_EQ(result().outcome, outcome::stopped);
}

TEST_F(Supervisor, ARunHasRecoveredOnceThePhaseGoesOn) {
  job_.place.ranks = 3;
  let_srun_be("exec sleep 60");
  begin(three_hosts());
  const auto tell = [this](io::ledger_kind kind) {
    caf::scoped_actor self(system_);
    self->send(on_duty_, ledger_note{.kind = kind,
                                     .phase = io::phase::sft,
                                     .counter = 3,
                                     .text = "restored checkpoints/sft/update-000003"});
    while (events(io::ledger_kind::phase_started).empty() && events(io::ledger_kind::phase_resumed).empty()) {
      std::this_thread::sleep_for(5ms);
    }
  };
  caf::anon_send_exit(report_all(1)[1], caf::exit_reason::kill);
  report_all(2);
  EXPECT_TRUE(events(io::ledger_kind::recovered).empty()) << "ranks have reported, and done nothing yet";
  tell(io::ledger_kind::phase_resumed);
  stop();
  caf::anon_send_exit(stages_.back(), caf::exit_reason::kill);
  EXPECT_EQ(result().outcome, outcome::stopped);
  EXPECT_EQ(events(io::ledger_kind::recovered).size(), 1U);
}

TEST_F(Supervisor, WithoutHostsEnoughItStays) {
  job_.place.ranks = 3;
  job_.place.min_nodes = 3;
  const auto attempts = crash_twice_on_one_host();
  EXPECT_EQ(text_of(attempts[2], "hosts"), "node1:1 node2:1 node3:1");
  EXPECT_EQ(text_of(attempts[2], "reason"), "node2 stays, though its ranks crash: too few others are left");
  caf::anon_send_exit(stages_.back(), caf::exit_reason::kill);
  EXPECT_EQ(result().outcome, outcome::stopped);
}

TEST_F(Supervisor, RanksThatSlurmEndsAreNoFailureAndNoHostsFault) {
  job_.place.ranks = 3;
  let_srun_be("exec sleep 60");
  begin(three_hosts());
  const auto stages = report_all(1);
  stop();
  for (const caf::strong_actor_ptr& stage : stages) {
    caf::anon_send_exit(stage, caf::exit_reason::kill);
  }
  const run_result how = result();
  EXPECT_EQ(how.outcome, outcome::stopped);
  EXPECT_EQ(how.text.find("failed"), std::string::npos) << how.text;
  EXPECT_TRUE(events(io::ledger_kind::worker_failed).empty());
  EXPECT_TRUE(events(io::ledger_kind::host_suspected).empty());
}

TEST_F(Supervisor, ASecondTermEndsARunWhoseRanksDoNotAnswer) {
  job_.place.ranks = 3;
  let_srun_be("exec sleep 60");
  begin(three_hosts());
  report_all(1);
  stop();
  std::this_thread::sleep_for(600ms);
  stop();
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(result().outcome, outcome::stopped);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
}

TEST_F(Supervisor, WhatAnActorOfACastSaysAsItDiesIsTheReason) {
  job_.place.ranks = 3;
  let_srun_be("exec sleep 60");
  begin(three_hosts());
  const auto stages = report_all(1);
  caf::anon_send(caf::actor_cast<caf::actor>(stages[1]),
                 caf::exit_msg{caf::actor_addr{}, to_caf_error(error(errc::bad_argument, "policy: it cannot be"))});
  const run_result how = result();
  EXPECT_EQ(how.outcome, outcome::failed);
  EXPECT_EQ(how.text, "rank 1: policy: it cannot be");
}

}  // namespace troupe::actors
