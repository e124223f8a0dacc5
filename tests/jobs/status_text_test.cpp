// What `troupe status` says of a run.
#include "jobs/status_text.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <ctime>

namespace troupe {
namespace {

io::run_status running() {
  return {.root = "/runs/a",
          .state = io::run_state::running,
          .reason = "",
          .holder = "pid 7 on node1",
          .phases = {"sft", "ppo"},
          .finished_phases = {"sft"},
          .phase = "ppo",
          .unit = "iteration",
          .counter = 20,
          .total = 100,
          .per_second = 0.1,
          .seconds_left = 800,
          .last_record = 1000,
          .attempt = 2,
          .ranks = 4,
          .hosts = "node[1-2]",
          .launcher = "srun",
          .checkpoint = io::standing_checkpoint{"checkpoints/ppo/iteration-000020", "ppo", "iteration", 20, 990},
          .best = io::best_checkpoint{"checkpoints/ppo/iteration-000010", "evaluation/reward", 0.25},
          .failures = 1,
          .recoveries = 1,
          .last_failures = {{.time = 900,
                             .attempt = 1,
                             .kind = "worker_failed",
                             .rank = 3,
                             .host = "node2",
                             .actor = "policy",
                             .operation = "generate",
                             .reason = "killed by signal 9",
                             .recovered_s = 12.34}}};
}

TEST(StatusText, OfARunThatGoesOn) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  EXPECT_EQ(
      status_text(running(), 1030),
      "run          /runs/a\n"
      "state        running, supervisor pid 7 on node1\n"
      "phase        ppo (2 of 2), iteration 20 of 100, 6 iterations per minute, about 13 min left in the phase\n"
      "last record  30 s ago\n"
      "attempt      2, 4 ranks by srun on node[1-2]\n"
      "checkpoint   checkpoints/ppo/iteration-000020, 40 s ago\n"
      "best         checkpoints/ppo/iteration-000010, evaluation/reward = 0.25\n"
      "failures     1, 1 recovered\n"
      "  1970-01-01 00:15:00  attempt 1  worker_failed, rank 3 on node2, policy in \"generate\": killed by signal "
      "9; recovered after 12.3 s\n");
}

TEST(StatusText, ACardThatHasFailedIsNamedWithItsHost) {
  io::run_status status = running();
  status.last_failures = {{.time = 900,
                           .attempt = 2,
                           .kind = "card_suspected",
                           .host = "node2",
                           .card = 1,
                           .reason = "failure 2 of its card 1"}};
  EXPECT_NE(status_text(status, 1030).find("card_suspected on node2, card 1: failure 2 of its card 1\n"),
            std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(status_json(status, 1030))["last_failures"][0]["card"], 1);
}

TEST(StatusText, ARunOfSlurmsHasItsJobAndItsLogs) {
  io::run_status status = running();
  status.slurm_job = "4711";
  status.logs = {"/runs/a/log.txt", "/runs/a/slurm-4711.log"};
  const std::string text = status_text(status, 1030, parse_queue("4711", "RUNNING|node[1-2]"));
  EXPECT_NE(text.find("slurm job    4711, RUNNING on node[1-2]\n"), std::string::npos) << text;
  EXPECT_NE(text.find("log          /runs/a/log.txt\n             /runs/a/slurm-4711.log\n"), std::string::npos)
      << text;
  EXPECT_EQ(describe(parse_queue("4711", "PENDING|(Priority)")), "4711, PENDING (Priority)");
  EXPECT_EQ(describe(parse_queue("4711", "")), "4711, no longer in the queue");
  EXPECT_EQ(describe({.id = "4711"}), "4711") << "nobody could be asked";
}

TEST(StatusText, WhereRecordsShouldHaveComeNobodyKnowsHowMuchTimeIsLeft) {
  EXPECT_NE(status_text(running(), 1150).find("about 13 min left"), std::string::npos) << "ten more at most";
  const std::string text = status_text(running(), 1161);
  EXPECT_EQ(text.find("left in the phase"), std::string::npos) << text;
  EXPECT_NE(text.find("per minute at its last records, of which none has come since"), std::string::npos) << text;
}

TEST(StatusText, OfARunThatHasNotBegun) {
  EXPECT_EQ(status_text({.root = "/runs/a"}, 0), "run          /runs/a\n"
                                                 "state        not started\n"
                                                 "phase        none has begun\n"
                                                 "checkpoint   none\n"
                                                 "failures     0, 0 recovered\n");
}

TEST(StatusJson, HasTheSameForPrograms) {
  const auto status = nlohmann::json::parse(status_json(running(), 1030));
  EXPECT_EQ(status["state"], "running");
  EXPECT_EQ(status["counter"], 20);
  EXPECT_EQ(status["total"], 100);
  EXPECT_EQ(status["checkpoint"]["iteration"], 20);
  EXPECT_EQ(status["checkpoint"]["age_s"], 40);
  EXPECT_EQ(status["best"]["value"], 0.25);
  EXPECT_EQ(status["last_failures"][0]["rank"], 3);
  EXPECT_EQ(status["last_failures"][0]["recovered_s"], 12.34);
}

TEST(StatusJson, WhatIsNotKnownIsNull) {
  const std::string text = status_json({.root = "/runs/a", .reason = "quoted \xff"}, 0);
  EXPECT_EQ(text.find('\n'), text.size() - 1) << "one line";
  const auto status = nlohmann::json::parse(text);
  for (const char* key :
       {"slurm_job", "queue_state", "total", "per_second", "seconds_left", "last_record", "checkpoint", "best"}) {
    EXPECT_TRUE(status[key].is_null()) << key;
  }
}

}  // namespace
}  // namespace troupe
