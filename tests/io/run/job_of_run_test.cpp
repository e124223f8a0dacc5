// What a run that has begun says of another job.
#include "io/run/job_of_run.hpp"
#include "io/run/ledger.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe::io {
namespace {

using test::expect_error;
using lines = std::vector<std::string>;

class JobOfRun : public ::testing::Test {
protected:
  void SetUp() override {
    before.run.dir = run.root().string();
    before.model.policy = "/models/a";
    before.model.reward = "/models/r";
    before.rewards = {{.name = "model"}};
    before.data = {{.name = "a", .path = "/data/a.jsonl", .format = data_format::pairs}};
    before.run.phases = {phase::sft};
    before.split.phases = {phase::sft};
  }

  /// What the run did, and the job that it was last started with.
  void note(ledger_kind kind, phase of, int64_t counter = 0) {
    ledger_writer(run).append({.kind = kind, .phase = std::string(to_string(of)), .counter = counter});
    std::ofstream(run.job()) << job_text(before);
  }

  test::temporary_folder folder;
  run_directory run = run_directory::open_or_create(folder / "run");
  job before;
};

TEST_F(JobOfRun, OptionsAreHeldOnceTheirPhaseHasBegun) {
  std::ofstream(run.job()) << job_text(before);
  job now = before;
  now.sft.training.batch = 3;
  require_same_job(run, now);  // nothing has begun
  note(ledger_kind::phase_started, phase::sft);
  expect_error(errc::bad_argument, "another job:\n  sft.batch: 16 before, 3 now\nTake another run.dir",
               [&] { require_same_job(run, now); });
  now = before;
  now.run.threads = 7;                     // changes no number
  now.data.front().path = "/new/a.jsonl";  // nor does another place
  now.ppo.clip = 0.1;                      // nor a phase that is still to begin
  EXPECT_EQ(require_same_job(run, now), std::vector<phase>{});
}

TEST_F(JobOfRun, AFinishedPhaseBecomesLongerWhereItsRatesAreConstant) {
  before.sft.training.updates = 40;
  before.sft.training.optimizer.schedule = schedule::constant;
  note(ledger_kind::phase_started, phase::sft);
  job now = before;
  now.sft.training.updates = 60;
  EXPECT_EQ(require_same_job(run, now), std::vector<phase>{}) << "it is under way";
  note(ledger_kind::phase_finished, phase::sft, 40);
  EXPECT_EQ(require_same_job(run, now), std::vector{phase::sft});
  now.sft.training.updates = 20;
  expect_error(errc::bad_argument, "sft.updates: 40 before, 20 now: phase sft has done 40 already",
               [&] { require_same_job(run, now); });
  now.sft.training.updates = 60;
  now.run.phases = before.run.phases = {phase::sft, phase::ppo};
  note(ledger_kind::phase_started, phase::ppo);
  expect_error(errc::bad_argument, "phase ppo has begun with what phase sft had made: go on from a checkpoint",
               [&] { require_same_job(run, now); });
}

TEST_F(JobOfRun, AScheduleThatFallsIsNotStretched) {
  before.sft.training.updates = 40;
  note(ledger_kind::phase_finished, phase::sft, 40);
  job now = before;
  now.sft.training.updates = 60;
  expect_error(errc::bad_argument, "learning rates fall towards the end of phase sft",
               [&] { require_same_job(run, now); });
  expect_error(errc::bad_argument, "--at sft/40 --run.dir NEW", [&] { require_same_job(run, now); });
}

TEST_F(JobOfRun, DividesPromptsAsItBegan) {
  job now = before;
  now.split.phases.clear();
  now.run.phases = {phase::sft, phase::reward};
  job settled = now;
  settle_division(settled);
  EXPECT_EQ(settled.split.phases, (std::vector{phase::sft, phase::reward})) << "nothing has begun";
  before.split.phases = {phase::sft, phase::reward, phase::ppo};
  note(ledger_kind::phase_started, phase::sft);
  settle_division(now);
  EXPECT_EQ(now.split.phases, (std::vector{phase::sft, phase::reward, phase::ppo}));
  require_same_job(run, now);
}

TEST_F(JobOfRun, WhatASetCouldServeIsToldWhileThereIsTime) {
  EXPECT_EQ(notes_on_division(before),
            lines{"data.a: all its prompts are for sft; where this run is to have reward ppo later, begin it with "
                  "split.phases = sft reward ppo"});
  before.split.phases = {phase::sft, phase::reward, phase::ppo};
  EXPECT_EQ(notes_on_division(before), lines{});
  before.data[0].phases = {phase::sft};
  before.split.phases.clear();
  EXPECT_EQ(notes_on_division(before), lines{});
}

TEST_F(JobOfRun, PromptsThatAPhaseHasAreNotTakenFromIt) {
  note(ledger_kind::phase_finished, phase::sft, 4);
  job now = before;
  now.run.phases = {phase::sft, phase::reward};
  now.split.phases.clear();
  settle_division(now);
  const lines said = verdict_on(run, now).objections;
  ASSERT_EQ(said.size(), 2U);
  EXPECT_EQ(said[0], "prompts of data.a: sft 2, held-out 0.5 before, sft 2, reward 4, held-out 0.5 now");
  EXPECT_NE(said[1].find("split.phases = sft reward"), std::string::npos) << said[1];
  now.data.front().phases = {phase::sft};
  now.data.push_back({.name = "b", .path = "/data/b.jsonl", .format = data_format::pairs, .phases = {phase::reward}});
  EXPECT_EQ(verdict_on(run, now).objections, lines{}) << "a set of its own";
}

TEST_F(JobOfRun, ARunOfAVersionThatSettledNothingDividesAmongAllPhases) {
  before.split.phases.clear();
  note(ledger_kind::phase_started, phase::sft);
  job now = before;
  settle_division(now);
  EXPECT_EQ(now.split.phases, (std::vector{phase::sft, phase::reward, phase::ppo}));
  EXPECT_EQ(verdict_on(run, now).objections, lines{});
}

}  // namespace
}  // namespace troupe::io
