// Checkpoints as the director sees them, against a cast of stubs.
#include "actors/director/checkpointing.hpp"
#include "support/director_bench.hpp"

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

class Checkpointing : public test::DirectorBench {
protected:
  /// Checkpoints of these counters, the newest first.
  void have(const std::vector<uint64_t>& counters) {
    for (const uint64_t counter : counters) {
      cast().checkpoints.push_back(
          {.found = true, .path = fmt::format("c{}", counter), .counter = counter, .files = {}, .problem = ""});
    }
  }
  void find(uint64_t before = any_counter) {
    perform(io::phase::sft, [this, before](director_context&, checkpointing& checkpoints) -> task<> {
      search_ = co_await checkpoints.find(before);
    });
  }
  /// An update for each evaluation, from the beginning of a phase of so many.
  void learn(uint64_t total, const std::vector<double>& perplexities) {
    perform(io::phase::sft, [total, perplexities](director_context& on, checkpointing& checkpoints) -> task<> {
      const evaluation_measure measure{.metric = "held_out/perplexity", .lower_is_better = true};
      co_await checkpoints.begin_phase(total, measure);
      for (const double perplexity : perplexities) {
        metrics_record line;
        line.update = ++on.state().counter;
        line.values["held_out/perplexity"] = perplexity;
        co_await checkpoints.close(std::move(line), on.state().counter == total);
      }
      co_await checkpoints.end_phase();
    });
  }
  lines saved(const lines& beginnings) { return only(cast().saved[0], beginnings); }

  checkpoint_search search_;
};

TEST_F(Checkpointing, TheNewestThatIsWholeIsFound) {
  have({3, 2});
  find();
  EXPECT_EQ(search_.found.path, "c3");
  EXPECT_EQ(search_.problems, lines{});
}

TEST_F(Checkpointing, SearchGoesPastDamageThatAnyRankFinds) {
  cast(2);
  have({5, 4, 3, 2});
  cast().checkpoints[0].problem = "c5: no manifest";
  cast().damaged = {{"1 c4", {.file = 1, .problem = "c4: file 1"}},
                    {"0 c3", {.file = 2, .problem = "c3: file 2"}},
                    {"1 c3", {.file = 0, .problem = "c3: file 0"}}};
  find();
  EXPECT_EQ(search_.found.path, "c2");
  EXPECT_EQ(search_.problems, (lines{"c5: no manifest", "c4: file 1", "c3: file 0"}));
  EXPECT_EQ(only(cast().saved[1], {"verify"}), (lines{"verify c4", "verify c3", "verify c2"}))
      << "what rank 0 knows to be damaged needs no reading";
}

TEST_F(Checkpointing, SearchBeforeACounterPassesOverNewerOnes) {
  have({3, 2, 1});
  find(2);
  EXPECT_EQ(search_.found.path, "c1");
}

TEST_F(Checkpointing, WhereAllAreDamagedTheSearchFailsAndNamesThem) {
  have({1});
  cast().damaged = {{"0 c1", {.file = 0, .problem = "c1: file 0"}}};
  find();
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->code(), errc::bad_file);
  EXPECT_NE(std::string(failure_->what()).find("c1: file 0"), std::string::npos) << failure_->what();
}

TEST_F(Checkpointing, APhaseBeginsWithItsTotalOrGoesOnWithItsCounter) {
  learn(2, {});
  EXPECT_EQ(cast().notes, lines{"phase_started sft 2"});
}

TEST_F(Checkpointing, ARecordIsDurableBeforeItsCheckpointIsCommitted) {
  cast().hook = [this](size_t, const std::string& what) {
    if (what.starts_with("commit 1")) {
      ASSERT_EQ(cast().records.size(), 1U);
      EXPECT_TRUE(cast().records[0].durable);
    }
  };
  learn(1, {5});
  EXPECT_EQ(saved({"commit 1"}), lines{"commit 1 of 1"});
  EXPECT_TRUE(cast().records[0].values.contains("time/checkpoint_copy_s"));
}

TEST_F(Checkpointing, OneIsDueEverySoManyUpdatesAtTheEndAndAfterTheBestEvaluation) {
  job_.run.checkpoint_every = 3;
  learn(5, {9, 9.5, 9.5, 8, 9});
  EXPECT_EQ(saved({"snapshot"}), (lines{"snapshot sft 1", "snapshot sft 3", "snapshot sft 4", "snapshot sft 5"}));
}

TEST_F(Checkpointing, TheBestIsNotKeptWhereTheJobDoesNotWantIt) {
  job_.run.checkpoint_every = 3;
  job_.run.keep_best = false;
  learn(2, {9, 8});
  EXPECT_EQ(saved({"snapshot"}), lines{"snapshot sft 2"});
  EXPECT_FALSE(cast().last_state.values.contains("best_value"));
}

TEST_F(Checkpointing, AFailedOneIsNotedAndEndsTheWork) {
  when("durable", [] { throw error(errc::io_failure, "disk full"); });
  learn(9, {5, 4, 3});
  ASSERT_TRUE(failure_);
  EXPECT_EQ(failure_->code(), errc::io_failure);
  EXPECT_EQ(only(cast().notes, {"checkpoint_failed"}).front(), "checkpoint_failed sft 1: disk full");
  EXPECT_LT(cast().records.size(), 3U);
}

TEST_F(Checkpointing, AFailedCommitIsAFailedCheckpoint) {
  when("commit 1", [] { throw error(errc::io_failure, "no rename"); });
  learn(9, {5, 4});
  ASSERT_TRUE(failure_);
  EXPECT_EQ(only(cast().notes, {"checkpoint_failed"}), lines{"checkpoint_failed sft 1: no rename"});
}

TEST_F(Checkpointing, APhaseThatEndsSavesItsModels) {
  learn(1, {5});
  EXPECT_EQ(saved({"save"}), lines{"save"});
  EXPECT_EQ(cast().notes.back(), "phase_finished sft 1");
}

TEST_F(Checkpointing, APhaseThatIsStoppedLeavesACheckpointAndNoModels) {
  job_.run.checkpoint_every = 100;
  job_.run.keep_best = false;
  learn(9, {5});
  EXPECT_EQ(saved({"snapshot", "save"}), lines{"snapshot sft 1"});
  EXPECT_EQ(only(cast().notes, {"phase_finished"}), lines{});
  EXPECT_FALSE(failure_);
}

TEST_F(Checkpointing, RescueThrowsNothing) {
  when("durable", [] { throw error(errc::io_failure, "disk full"); });
  perform(io::phase::sft,
          [](director_context&, checkpointing& checkpoints) -> task<> { co_await checkpoints.rescue_last(); });
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(failure_);
}

TEST_F(Checkpointing, RescueWithoutCheckpointersDoesNothing) {
  cast().place = [](size_t, actors::cast& parts) { parts.checkpointer = nullptr; };
  perform(io::phase::pairs,
          [](director_context&, checkpointing& checkpoints) -> task<> { co_await checkpoints.rescue_last(); });
  EXPECT_TRUE(ended_);
  EXPECT_EQ(cast().saved[0], lines{});
}

}  // namespace
}  // namespace troupe::actors
