// The director's plans against a cast of stubs: which commands go out, in which order, and what becomes of stop
// requests, failures and divergence. No threads, no models.
#include "actors/director/director.hpp"
#include "support/stub_cast.hpp"
#include "support/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

io::job job_of(std::vector<io::phase> phases) {
  const io::optimizer_options steady{.learning_rate = 0.5, .schedule = io::schedule::constant};
  io::job job;
  job.run.phases = std::move(phases);
  job.run.checkpoint_every = 1;
  job.sft.training = {.updates = 2, .optimizer = steady};
  job.reward.training = {.updates = 1, .optimizer = steady};
  job.ppo.iterations = 1;
  job.ppo.minibatches = 2;
  job.ppo.policy = job.ppo.critic = steady;
  job.evaluation.prompts = 0;
  job.pairs.prompts = job.pairs.prompts_per_iteration = 4;
  return job;
}

constexpr int64_t attempt = 3;

class Director : public ::testing::Test {
protected:
  /// Until nothing is left to do.
  void perform(const io::job& job, size_t ranks = 1, std::set<io::phase> finished = {}) {
    if (!cast) {
      set(ranks);
    }
    director_ = actors_.system().spawn(director, director_settings{.job = job,
                                                                   .run = run_,
                                                                   .attempt = attempt,
                                                                   .finished_phases = std::move(finished),
                                                                   .stages = cast->stages,
                                                                   .metrics = cast->metrics,
                                                                   .supervisor = cast->supervisor});
    actors_.run();
  }
  /// For tests that change what the cast answers.
  test::stub_cast& set(size_t ranks = 1) { return cast.emplace(actors_, ranks); }

  void SetUp() override {
    while (run_.begin_attempt() < attempt) {
    }
  }

  /// Calls `react` when the cast hears this, of any rank; what it throws is the answer.
  void when(const std::string& heard, std::function<void()> react) {
    cast->hook = [heard, react = std::move(react)](size_t, const std::string& what) {
      if (what.starts_with(heard)) {
        react();
      }
    };
  }
  void stop() { caf::anon_send(director_, stop_atom_v); }

  void expect_outcome(outcome expected, errc code = {}, const std::string& text = "") {
    ASSERT_TRUE(cast->result.has_value()) << "the plan has not ended";
    EXPECT_EQ(cast->result->outcome, expected) << cast->result->text;
    if (expected == outcome::failed) {
      EXPECT_EQ(cast->result->code, code);
      EXPECT_NE(cast->result->text.find(text), std::string::npos) << cast->result->text;
    }
  }
  /// What rank 0's cast was told that begins so.
  lines told(const std::string& beginning) const {
    lines some;
    std::copy_if(cast->told[0].begin(), cast->told[0].end(), std::back_inserter(some),
                 [&](const std::string& line) { return line.starts_with(beginning); });
    return some;
  }
  void TearDown() override {
    actors_.end(director_);
    cast->end();
  }

  test::temporary_folder folder_;
  io::run_directory run_ = io::run_directory::open_or_create(folder_ / "run");
  test::stepped_actors actors_;
  std::optional<test::stub_cast> cast;
  director_actor director_;
};

TEST_F(Director, FineTuningEvaluatesLearnsStepsAndSaves) {
  perform(job_of({io::phase::sft}));
  EXPECT_EQ(cast->told[0], (lines{"stage sft", "metrics cut sft -1 ",                                        //
                                  "loader held_out 0", "policy evaluate", "metrics record sft 0",            //
                                  "loader training 0", "policy train 0 of 10",                               //
                                  "policy_optimizer step 1 at 0.5", "metrics record sft 1",                  //
                                  "loader training 1", "policy train 1 of 10",                               //
                                  "policy_optimizer step 2 at 0.5", "loader held_out 0", "policy evaluate",  //
                                  "metrics record sft 2"}));
  EXPECT_EQ(cast->saved[0], (lines{"locate", "restore ",                          //
                                   "snapshot sft 1", "durable", "commit 1 of 1",  //
                                   "snapshot sft 2", "durable", "durable", "commit 2 of 1", "commit 0 of 0", "save"}));
  EXPECT_EQ(
      cast->notes,
      (lines{"phase_started sft 2", "checkpoint sft 1: there: 0 bytes in 0.00 s, copied in 0.000 s",
             "checkpoint sft 2: there: 0 bytes in 0.00 s, copied in 0.000 s; the best so far: held_out/perplexity = 7",
             "phase_finished sft 2"}));
  expect_outcome(outcome::finished);
}

TEST_F(Director, RecordOfAnUpdateHasWhatTheCastFound) {
  perform(job_of({io::phase::sft}));
  ASSERT_EQ(cast->records.size(), 3U);
  EXPECT_EQ(cast->records[0].values, (statistics{{"held_out/perplexity", 7.0}}));
  const metrics_record& last = cast->records[2];
  EXPECT_EQ(last.attempt, 3U);
  EXPECT_EQ(statistic(last.values, "policy/loss"), 2.0);
  EXPECT_EQ(statistic(last.values, "policy/grad_norm"), 3.0);
  EXPECT_EQ(statistic(last.values, "policy/learning_rate"), 0.5);
  EXPECT_EQ(statistic(last.values, "held_out/perplexity"), 7.0);
  EXPECT_EQ(statistic(last.values, "rate/train_tokens_per_s"), 40 / (0.5 + 0.125));
}

TEST_F(Director, EpochsCountExamplesByTheWeightsOfTheirSources) {
  io::job job = job_of({io::phase::sft});
  job.sft.training.updates = 0;
  job.sft.training.epochs = 2;
  job.sft.training.batch = 5;  // of 18: 36 / 5
  perform(job);
  EXPECT_EQ(told("policy train").size(), 7U);
}

TEST_F(Director, RewardPhaseTrainsTheRewardModel) {
  perform(job_of({io::phase::reward}));
  EXPECT_EQ(cast->told[0], (lines{"stage reward", "metrics cut reward -1 ",                                  //
                                  "loader held_out 0", "reward evaluate", "metrics record reward 0",         //
                                  "loader training 0", "reward train 0 of 10",                               //
                                  "reward_optimizer step 1 at 0.5", "loader held_out 0", "reward evaluate",  //
                                  "metrics record reward 1"}));
  expect_outcome(outcome::finished);
}

TEST_F(Director, IterationRollsOutScoresAssemblesAndLearns) {
  perform(job_of({io::phase::ppo}));
  EXPECT_EQ(cast->told[0], (lines{"stage ppo",
                                  "metrics cut ppo -1 ",
                                  "metrics record ppo 0",  //
                                  "loader prompts 0",
                                  "policy generate 16 give [] take []",
                                  "policy generate 16 give [] take []",
                                  "replay hand over",
                                  "policy generate ends",  //
                                  "reference score",
                                  "reward score",
                                  "critic score",  //
                                  "replay assemble 1 version 0 kl 0.1 experience/iteration-000001.h5",
                                  "replay serve 1 0 0",  //
                                  "policy train 0 of 10",
                                  "policy_optimizer step 1 at 0.5",
                                  "ema fold",
                                  "critic train 0 of 10",
                                  "critic_optimizer step 1 at 0.5",  //
                                  "replay serve 1 0 1",              //
                                  "policy train 1 of 10",
                                  "policy_optimizer step 2 at 0.5",
                                  "ema fold",
                                  "critic train 1 of 10",
                                  "critic_optimizer step 2 at 0.5",  //
                                  "metrics record ppo 1"}));
  EXPECT_EQ(statistic(cast->last_state.values, "updates"), 2);
  expect_outcome(outcome::finished);
}

class MixingDirector : public Director {
protected:
  MixingDirector() : job_(job_of({io::phase::ppo})) {
    job_.ppo.iterations = 4;
    job_.experience = {.mix = 0.25, .max_staleness = 5};  // two iterations of two updates
    set().place = [](size_t, actors::cast& parts) { parts.policy_scorer = parts.reference; };
    when("replay assemble", [this] {
      std::filesystem::create_directories(run_.experience());
      std::ofstream(run_.experience(++assembled_)) << "experience";
    });
  }

  io::job job_;
  int64_t assembled_ = 0;
};

TEST_F(MixingDirector, AnIterationMixesInAnswersOfThoseBeforeIt) {
  perform(job_);
  expect_outcome(outcome::finished);
  EXPECT_EQ(told("replay mix"), (lines{"replay mix 1 of 0 files", "replay mix 2 of 1 files", "replay mix 3 of 2 files",
                                       "replay mix 4 of 2 files"}));
  const lines all = cast->told[0];
  const auto mixed = std::find(all.begin(), all.end(), "replay mix 2 of 1 files");
  ASSERT_GT(all.end() - mixed, 3);
  EXPECT_EQ(mixed[-1], "critic score") << "the rollout is there";
  EXPECT_EQ(mixed[1], "reference score") << "the policy, asked by its scorer";
  EXPECT_EQ(mixed[2], "replay assemble 2 version 2 kl 0.1 experience/iteration-000002.h5");
  EXPECT_EQ(statistic(cast->records.back().values, "mix/share"), 0.25);
}

TEST_F(MixingDirector, AMissingFileIsNamedAndEndsTheRun) {
  cast->hook = nullptr;  // nothing is stored
  perform(job_);
  expect_outcome(outcome::failed, errc::not_found, "iteration-000001.h5 is missing: iteration 2 mixes in");
  EXPECT_EQ(told("replay assemble").size(), 1U);
}

TEST_F(Director, PairsPhaseRollsOutAndWritesAPartEachIterationAfterItsRecord) {
  set();
  when("replay saves", [this] {
    std::filesystem::create_directories(run_.root() / "pairs");
    std::ofstream(run_.root() / "pairs/part-000001.jsonl") << "{}\n";
  });
  perform(job_of({io::phase::pairs}));
  EXPECT_EQ(cast->told[0], (lines{"stage pairs", "metrics cut pairs -1 ",  //
                                  "loader prompts 0", "policy generate 16 give [] take []",
                                  "policy generate 16 give [] take []", "replay hand over", "policy generate ends",
                                  "reward score", "replay pairs", "metrics record pairs 1", "replay saves 0"}));
}

TEST_F(Director, PhasesFollowEachOtherAndEachCutsTheRecordsOfThoseAfterIt) {
  perform(job_of({io::phase::sft, io::phase::reward, io::phase::ppo}));
  EXPECT_EQ(told("metrics cut"),
            (lines{"metrics cut sft -1 reward ppo", "metrics cut reward -1 ppo", "metrics cut ppo -1 "}));
}

TEST_F(Director, FinishedPhasesAreSkipped) {
  perform(job_of({io::phase::sft, io::phase::reward, io::phase::ppo}), 1, {io::phase::sft});
  EXPECT_EQ(told("stage"), (lines{"stage reward", "stage ppo"}));
  expect_outcome(outcome::finished);
}

TEST_F(Director, ResumedPhaseGoesOnAfterItsCheckpoint) {
  set();
  cast->checkpoints = {
      {.found = true, .path = "checkpoints/sft/update-2", .counter = 2, .files = {}, .problem = "update-2: truncated"},
      {.found = true, .path = "checkpoints/sft/update-1", .counter = 1, .files = {}, .problem = ""}};
  cast->restored = {.phase = io::phase::sft, .counter = 1};
  perform(job_of({io::phase::sft}));
  EXPECT_EQ(told("metrics cut"), lines{"metrics cut sft 1 "});
  EXPECT_EQ(told("metrics record"), lines{"metrics record sft 2"});
  EXPECT_EQ(told("loader training"), lines{"loader training 1"});
  EXPECT_EQ(lines(cast->saved[0].begin(), cast->saved[0].begin() + 4),
            (lines{"locate", "locate", "verify checkpoints/sft/update-1", "restore checkpoints/sft/update-1"}));
  EXPECT_EQ(cast->notes[0], "checkpoint_damaged sft 1: update-2: truncated");
  EXPECT_EQ(std::count(cast->notes.begin(), cast->notes.end(), "phase_started sft 2"), 0);
}

TEST_F(Director, APhaseWhoseCheckpointsAreAllDamagedDoesNotBeginAnew) {
  set();
  cast->checkpoints = {
      {.found = true, .path = "checkpoints/sft/update-2", .counter = 2, .files = {}, .problem = "update-2: truncated"},
      {.found = true, .path = "checkpoints/sft/update-1", .counter = 1, .files = {}, .problem = ""}};
  cast->damaged = {{"0 checkpoints/sft/update-1", {.file = 0, .problem = "update-1: flipped"}}};
  perform(job_of({io::phase::sft}));
  expect_outcome(outcome::failed, errc::bad_file);
  EXPECT_NE(cast->result->text.find("update-2: truncated; update-1: flipped"), std::string::npos) << cast->result->text;
  EXPECT_NE(cast->result->text.find("checkpoints/sft away"), std::string::npos) << cast->result->text;
  EXPECT_EQ(cast->saved[0], (lines{"locate", "locate", "verify checkpoints/sft/update-1", "locate"}))
      << "and no restore";
  EXPECT_TRUE(told("metrics cut").empty());
}

TEST_F(Director, EveryRankChecksItsShareOfACheckpointAndAllGoOnFromTheSame) {
  set(3);
  for (uint64_t counter = 5; counter >= 1; --counter) {
    cast->checkpoints.push_back(
        {.found = true, .path = fmt::format("c{}", counter), .counter = counter, .files = {}, .problem = ""});
  }
  cast->damaged = {{"1 c5", {.file = 1, .problem = "c5: file 1"}},
                   {"0 c4", {.file = 3, .problem = "c4: file 3"}},
                   {"2 c4", {.file = 2, .problem = "c4: file 2"}}};
  cast->restored = {.phase = io::phase::sft, .counter = 3};
  io::job job = job_of({io::phase::sft});
  job.sft.training.updates = 4;
  perform(job, 3);
  for (size_t rank = 0; rank < 3; ++rank) {
    lines said;
    std::copy_if(cast->saved[rank].begin(), cast->saved[rank].end(), std::back_inserter(said),
                 [](const std::string& line) { return line.starts_with("verify") || line.starts_with("restore"); });
    EXPECT_EQ(said, (lines{"verify c5", "verify c4", "verify c3", "restore c3"})) << rank;
  }
  EXPECT_EQ(lines(cast->notes.begin(), cast->notes.begin() + 2),
            (lines{"checkpoint_damaged sft 3: c5: file 1", "checkpoint_damaged sft 3: c4: file 2"}))
      << "one for each checkpoint, about its first file";
  expect_outcome(outcome::finished);
}

TEST_F(Director, CheckpointsComeEverySoManyUpdatesAndAtTheEnd) {
  io::job job = job_of({io::phase::sft});
  job.sft.training.updates = 5;
  job.run.checkpoint_every = 2;
  perform(job);
  lines snapshots;
  std::copy_if(cast->saved[0].begin(), cast->saved[0].end(), std::back_inserter(snapshots),
               [](const std::string& line) { return line.starts_with("snapshot"); });
  EXPECT_EQ(snapshots, (lines{"snapshot sft 2", "snapshot sft 4", "snapshot sft 5"}));
  for (const metrics_record& one : cast->records) {
    EXPECT_EQ(one.durable, one.update == 2 || one.update == 4 || one.update == 5)
        << "update " << one.update << ": a record is on disk before the checkpoint that says it was written";
  }
}

TEST_F(Director, StopEndsAfterTheUpdateWithACheckpoint) {
  io::job job = job_of({io::phase::sft, io::phase::ppo});
  job.run.checkpoint_every = 100;
  set();
  when("policy train 0", [this] { stop(); });
  perform(job);
  EXPECT_EQ(cast->told[0].back(), "metrics record sft 1");
  EXPECT_EQ(std::count(cast->saved[0].begin(), cast->saved[0].end(), "snapshot sft 1"), 1);
  EXPECT_EQ(std::count(cast->saved[0].begin(), cast->saved[0].end(), "save"), 0);
  expect_outcome(outcome::stopped);
}

TEST_F(Director, StopDuringTheLastUpdateStillFinishesThePhase) {
  set();
  when("policy train 1", [this] { stop(); });
  perform(job_of({io::phase::sft}));
  EXPECT_EQ(cast->saved[0].back(), "save");
  expect_outcome(outcome::finished);
}

TEST_F(Director, StopDuringARolloutDropsItAndLearnsNothing) {
  set();
  when("policy generate", [this] { stop(); });
  perform(job_of({io::phase::ppo}));
  EXPECT_EQ(told("policy generate").size(), 1U) << "the next command is not given";
  EXPECT_EQ(told("replay"), lines{});
  EXPECT_EQ(told("metrics record"), lines{"metrics record ppo 0"});
  expect_outcome(outcome::stopped);
}

TEST_F(Director, StopDuringAnEvaluationWaitsUntilItIsRecorded) {
  io::job job = job_of({io::phase::ppo});
  job.evaluation.prompts = 4;
  set();
  bool learned = false;
  cast->hook = [&](size_t, const std::string& what) {
    learned = learned || what.starts_with("critic train");
    if (learned && what.starts_with("policy generate")) {
      stop();
    }
  };
  perform(job);
  EXPECT_EQ(told("metrics record"), (lines{"metrics record ppo 0", "metrics record ppo 1"}));
  EXPECT_EQ(told("replay assemble"),
            (lines{"replay assemble 0 version 0 kl 0.1 only evaluations/iteration-000000.h5",
                   "replay assemble 1 version 0 kl 0.1 experience/iteration-000001.h5",
                   "replay assemble 1 version 2 kl 0.1 only evaluations/iteration-000001.h5"}));
  expect_outcome(outcome::finished);
}

TEST_F(Director, FailureOfAPartEndsTheRunWithItsError) {
  set();
  when("policy train", [] { throw error(errc::out_of_memory, "gradients of 3 GB"); });
  perform(job_of({io::phase::sft, io::phase::reward}));
  expect_outcome(outcome::failed, errc::out_of_memory, "gradients of 3 GB");
  EXPECT_EQ(told("stage"), lines{"stage sft"});
  EXPECT_EQ(told("policy_optimizer"), lines{});
}

TEST_F(Director, FailureToWriteACheckpointIsToldAndEndsTheRunAtTheNextUpdate) {
  set();
  when("durable", [] { throw error(errc::io_failure, "No space left on device"); });
  io::job job = job_of({io::phase::sft});
  job.sft.training.updates = 30;
  job.run.checkpoint_every = 10;
  perform(job);
  expect_outcome(outcome::failed, errc::io_failure, "No space left");
  EXPECT_EQ(cast->notes.back(), "checkpoint_failed sft 10: No space left on device");
  EXPECT_EQ(told("policy train").size(), 11U) << "training goes on while files are written, and no longer";
}

TEST_F(Director, FailureToRecordEndsTheRun) {
  set();
  when("metrics record sft 1", [] { throw error(errc::io_failure, "metrics.jsonl: no space"); });
  perform(job_of({io::phase::sft}));
  expect_outcome(outcome::failed, errc::io_failure, "metrics.jsonl: no space");
}

TEST_F(Director, DivergenceEndsTheRunWhereTheJobSaysStop) {
  set();
  when("policy_optimizer step 2", [] { throw error(errc::not_finite, "the gradient norm is nan"); });
  perform(job_of({io::phase::ppo}));
  expect_outcome(outcome::failed, errc::not_finite, "the gradient norm is nan");
  EXPECT_EQ(told("metrics record"), lines{"metrics record ppo 0"}) << "the iteration is not done";
}

TEST_F(Director, DivergenceRollsBackToTheCheckpointWithHalfTheLearningRates) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.on_divergence = io::on_divergence::rollback;
  set();
  bool diverged = false;
  when("policy_optimizer step 2", [&] {
    if (!std::exchange(diverged, true)) {
      throw error(errc::not_finite, "the gradient norm is nan");
    }
  });
  perform(job);
  expect_outcome(outcome::finished);
  EXPECT_EQ(told("stage"), (lines{"stage ppo", "stage ppo"})) << "a new cast, from the start";
  EXPECT_EQ(told("policy_optimizer"), (lines{"policy_optimizer step 1 at 0.5", "policy_optimizer step 2 at 0.5",
                                             "policy_optimizer step 1 at 0.25", "policy_optimizer step 2 at 0.25"}));
  EXPECT_EQ(told("critic_optimizer").back(), "critic_optimizer step 2 at 0.25");
  EXPECT_EQ(cast->notes[1], "note ppo 0: rolled back: the gradient norm is nan");
  EXPECT_EQ(statistic(cast->last_state.values, "rollbacks"), 1);
}

TEST_F(Director, RollbacksAreLimited) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.on_divergence = io::on_divergence::rollback;
  job.ppo.max_rollbacks = 2;
  set();
  when("policy_optimizer step 2", [] { throw error(errc::not_finite, "the gradient norm is nan"); });
  perform(job);
  expect_outcome(outcome::failed, errc::not_finite, "the gradient norm is nan (after 2 rollbacks");
  EXPECT_EQ(told("stage").size(), 3U);
}

/// A KL that is too large, found before anything is learned: by the weights of the last checkpoint.
class DivergedCheckpoint : public Director {
protected:
  void perform_diverging(int64_t keep, std::function<bool(int64_t rollout)> diverges) {
    job_ = job_of({io::phase::ppo});
    job_.ppo.iterations = 4;
    job_.ppo.max_kl = 5;
    job_.ppo.on_divergence = io::on_divergence::rollback;
    job_.run.keep_checkpoints = keep;
    set();
    cast->hook = [this, diverges, rollout = int64_t{0}](size_t, const std::string& what) mutable {
      if (what.starts_with("snapshot ppo ")) {
        const uint64_t counter = std::stoull(what.substr(13));
        std::erase_if(cast->checkpoints, [&](const located_checkpoint& one) { return one.counter >= counter; });
        cast->checkpoints.insert(
            cast->checkpoints.begin(),
            {.found = true, .path = fmt::format("c{}", counter), .counter = counter, .files = {}, .problem = ""});
        cast->checkpoints.resize(std::min(cast->checkpoints.size(), static_cast<size_t>(job_.run.keep_checkpoints)));
      } else if (what.starts_with("restore c")) {
        cast->restored = states_.at(what.substr(8));
      } else if (what.starts_with("commit ") && cast->last_state.counter > 0) {
        states_["c" + std::to_string(cast->last_state.counter)] = cast->last_state;
      } else if (what.starts_with("replay assemble")) {
        cast->assembled.statistics = {{"kl/per_sequence_nats", diverges(rollout++) ? 5.5 : 1.0}};
      }
    };
    perform(job_);
  }
  lines saved(const std::string& beginning) const {
    lines some;
    std::copy_if(cast->saved[0].begin(), cast->saved[0].end(), std::back_inserter(some),
                 [&](const std::string& line) { return line.starts_with(beginning); });
    return some;
  }

  io::job job_;
  std::map<std::string, phase_state> states_;
};

TEST_F(DivergedCheckpoint, IsPassedOverForTheOneBefore) {
  perform_diverging(2, [](int64_t rollout) { return rollout == 2; });  // the third, by what the second has taught
  expect_outcome(outcome::finished);
  EXPECT_EQ(saved("restore"), (lines{"restore ", "restore c1"}));
  EXPECT_EQ(told("policy_optimizer step 3"),
            (lines{"policy_optimizer step 3 at 0.5", "policy_optimizer step 3 at 0.25"}))
      << "the second iteration is learned again";
}

TEST_F(DivergedCheckpoint, OfTheFirstIterationLeadsBackToTheStart) {
  perform_diverging(1, [](int64_t rollout) { return rollout == 1; });
  expect_outcome(outcome::finished);
  EXPECT_EQ(saved("restore"), (lines{"restore ", "restore "}));
  EXPECT_EQ(told("policy_optimizer step 1"),
            (lines{"policy_optimizer step 1 at 0.5", "policy_optimizer step 1 at 0.25"}));
}

TEST_F(DivergedCheckpoint, WithNoneBeforeItEndsTheRunWithTheRemedy) {
  perform_diverging(1, [](int64_t rollout) { return rollout == 2; });
  expect_outcome(outcome::failed, errc::not_finite, "run.keep-checkpoints = 1 has left none before it");
  EXPECT_EQ(told("stage").size(), 1U);
}

TEST_F(DivergedCheckpoint, AtTheStartEndsTheRunAtOnce) {
  perform_diverging(2, [](int64_t) { return true; });
  expect_outcome(outcome::failed, errc::not_finite, "no rollback leads anywhere else");
  EXPECT_EQ(told("stage").size(), 1U);
}

TEST_F(Director, OtherFailuresAreNotRolledBack) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.on_divergence = io::on_divergence::rollback;
  set();
  when("critic train", [] { throw error(errc::out_of_memory, "no memory"); });
  perform(job);
  expect_outcome(outcome::failed, errc::out_of_memory, "no memory");
}

/// Numbers that must be equal and are not tell of a defect: going back and learning more slowly would hide it.
TEST_F(Director, WhatMustBeExactAndIsNotIsNoDivergence) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.iterations = 2;
  job.ppo.on_divergence = io::on_divergence::rollback;
  set();
  int updates = 0;
  when("policy train", [&] {
    if (++updates == 3) {  // the first of iteration 2, with a checkpoint to go back to
      throw error(errc::not_exact, "3 of 40 log-probabilities differ");
    }
  });
  perform(job);
  expect_outcome(outcome::failed, errc::not_exact, "3 of 40 log-probabilities differ");
  EXPECT_EQ(told("stage").size(), 1U) << "no new cast";
  EXPECT_TRUE(std::none_of(cast->notes.begin(), cast->notes.end(),
                           [](const std::string& note) { return note.find("rolled back") != std::string::npos; }));
}

TEST_F(Director, KlAboveTheJobsLimitIsDivergenceBeforeAnythingIsLearned) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.max_kl = 5;
  set();
  cast->assembled.statistics = {{"kl/per_sequence_nats", 5.5}};
  perform(job);
  expect_outcome(outcome::failed, errc::not_finite, "5.500 nats per sequence, above ppo.max-kl = 5");
  EXPECT_NE(cast->result->text.find("kept in experience/iteration-000001.h5"), std::string::npos);
  EXPECT_EQ(told("policy train"), lines{});
}

TEST_F(Director, UpdateFarFromTheOldPolicyIsDroppedAndEndsTheIterationsUpdates) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.target_kl = 0.01;
  job.ppo.epochs = 3;
  set();
  cast->learned = {{"policy/approx_kl_nats", 0.02}};
  perform(job);
  EXPECT_EQ(told("policy"), (lines{"policy generate 16 give [] take []", "policy generate 16 give [] take []",
                                   "policy generate ends", "policy train 0 of 10", "policy_optimizer cut"}));
  EXPECT_EQ(told("ema"), lines{});
  EXPECT_EQ(told("critic_optimizer").size(), 1U);
  EXPECT_EQ(statistic(cast->records[1].values, "policy/stopped_early"), 1);
  EXPECT_EQ(statistic(cast->records[1].values, "policy/updates"), 0) << "the policy has made none";
}

TEST_F(Director, IterationsOfTheCriticAloneTakeNothingFromThePolicysWarmUp) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.iterations = 2;
  job.ppo.critic_only_iterations = 1;
  job.ppo.policy.warm_up = 2;
  job.ppo.critic.warm_up = 4;
  perform(job);
  EXPECT_EQ(told("policy_optimizer"), (lines{"policy_optimizer step 1 at 0", "policy_optimizer step 2 at 0.25"}));
  EXPECT_EQ(told("critic_optimizer"), (lines{"critic_optimizer step 1 at 0", "critic_optimizer step 2 at 0.125",
                                             "critic_optimizer step 3 at 0.25", "critic_optimizer step 4 at 0.375"}));
  EXPECT_EQ(statistic(cast->records[1].values, "policy/updates"), 0);
  EXPECT_EQ(statistic(cast->records[2].values, "policy/updates"), 2);
}

TEST_F(Director, MaximaOfUpdatesAreTheIterationsMaximum) {
  set();
  cast->learned = {{"policy/ratio_max", 1.5}, {"policy/ratio_mean", 1.0}};
  int updates = 0;
  when("policy train", [&] { cast->learned["policy/ratio_max"] = ++updates == 1 ? 4.0 : 1.5; });
  perform(job_of({io::phase::ppo}));
  EXPECT_EQ(updates, 2);
  EXPECT_EQ(statistic(cast->records[1].values, "policy/ratio_max"), 4.0);
  EXPECT_EQ(statistic(cast->records[1].values, "policy/ratio_mean"), 1.0);
}

TEST_F(Director, AdaptiveControllersCoefficientGoesIntoTheNextIteration) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.iterations = 2;
  job.ppo.kl_controller = io::kl_controller::adaptive;
  job.ppo.kl_target = 1;
  job.ppo.kl_horizon = 8;
  set();
  cast->assembled.statistics = {{"kl/per_sequence_nats", 100}};
  cast->assembled.sequences = 4;
  perform(job);
  // 0.1 (1 + 0.2 * 4 / 8): an error is counted as 0.2 at most
  EXPECT_EQ(told("replay assemble 2"), lines{"replay assemble 2 version 2 kl 0.11 experience/iteration-000002.h5"});
  EXPECT_NEAR(statistic(cast->last_state.values, "kl_coefficient"), 0.121, 1e-12);
}

TEST_F(Director, RunningMomentsOfRewardsAreKeptByTheDirector) {
  set();
  cast->assembled.reward_scale = {{"count", 4}, {"mean", 0.5}, {"squares", 2}};
  perform(job_of({io::phase::ppo}));
  EXPECT_EQ(statistic(cast->last_state.values, "reward_scale_mean"), 0.5);
}

TEST_F(Director, MinibatchWithoutAnswersIsPassedOver) {
  set();
  cast->loss_terms = 0;
  perform(job_of({io::phase::ppo}));
  EXPECT_EQ(told("policy train"), lines{});
  EXPECT_EQ(told("critic train"), lines{});
  expect_outcome(outcome::finished);
}

TEST_F(Director, MixtureTextIsServedForEachUpdateOfThePolicy) {
  io::job job = job_of({io::phase::ppo});
  job.ppo.ptx_coef = 0.5;
  job.ppo.critic_only_iterations = 1;
  job.ppo.iterations = 2;
  perform(job);
  EXPECT_EQ(told("loader mixture"), (lines{"loader mixture 2", "loader mixture 3"}))
      << "by update; the first iteration trained the critic alone";
  EXPECT_EQ(told("critic train").size(), 4U);
}

TEST_F(Director, AllRanksGetTheSameCommands) {
  perform(job_of({io::phase::sft, io::phase::ppo}), 2);
  lines first = cast->told[0];
  std::erase_if(first, [](const std::string& line) { return line.starts_with("metrics"); });
  EXPECT_EQ(cast->told[1], first);
  EXPECT_EQ(std::count(cast->saved[0].begin(), cast->saved[0].end(), "commit 2 of 2"), 1) << "of two ranks' files";
  EXPECT_EQ(std::count(cast->saved[1].begin(), cast->saved[1].end(), "commit 2 of 2"), 0) << "rank 0 commits";
  EXPECT_EQ(statistic(cast->records[1].values, "policy/loss"), 2.0) << "what each rank says of all of them";
  expect_outcome(outcome::finished);
}

TEST_F(Director, RankWithoutWorkTakesOverHalfOfWhatAnotherHasNotBegun) {
  set(2);
  cast->generated = [](size_t rank, int64_t command) -> generate_reply {
    if (rank == 1 || command == 2) {
      return {.unfinished = 0, .waiting = {}};
    }
    return {.unfinished = 4, .waiting = command == 0 ? std::vector<uint64_t>{5, 6, 8} : std::vector<uint64_t>{}};
  };
  perform(job_of({io::phase::ppo}), 2);
  const auto generate_commands = [this](size_t rank) {
    lines some;
    std::copy_if(cast->told[rank].begin(), cast->told[rank].end(), std::back_inserter(some),
                 [](const std::string& line) { return line.starts_with("policy generate 16"); });
    return some;
  };
  EXPECT_EQ(generate_commands(0), (lines{"policy generate 16 give [] take []", "policy generate 16 give [8 6] take []",
                                         "policy generate 16 give [] take []"}));
  EXPECT_EQ(generate_commands(1), (lines{"policy generate 16 give [] take []", "policy generate 16 give [] take [8 6]",
                                         "policy generate 16 give [] take []"}));
}

}  // namespace
}  // namespace troupe::actors
