// What the plans of phases do beside what director_test sees of whole runs.
#include "actors/director/pairs_plan.hpp"
#include "actors/director/supervised_plan.hpp"
#include "support/director_bench.hpp"

#include <fstream>

namespace troupe::actors {
namespace {

using lines = std::vector<std::string>;

TEST(SupervisedUpdates, AreThoseOfTheJobOrWholeBatchesOfItsEpochs) {
  EXPECT_EQ(updates_of({.epochs = 3, .updates = 7, .batch = 2}, 100), 7);
  EXPECT_EQ(updates_of({.epochs = 2, .updates = 0, .batch = 8}, 100), 25);
  EXPECT_EQ(updates_of({.epochs = 0.5, .updates = 0, .batch = 8}, 100), 6);
  EXPECT_EQ(updates_of({.epochs = 1, .updates = 0, .batch = 8}, 3), 1) << "at least one";
}

class PairsPlan : public test::DirectorBench {
protected:
  void SetUp() override {
    DirectorBench::SetUp();
    job_.run.phases = {io::phase::pairs, io::phase::reward};
    job_.pairs.prompts = 12;
    job_.pairs.prompts_per_iteration = 4;
    std::filesystem::create_directories(run_.root() / "pairs");
  }
  void write_part(int number) const {
    std::ofstream(run_.root() / fmt::format("pairs/part-{:06}.jsonl", number)) << "{}\n";
  }
  void perform_plan() {
    perform(io::phase::pairs, [this](director_context& on, checkpointing&) -> task<> {
      plan_.emplace(on);
      co_await plan_->perform();
    });
  }

  std::optional<pairs_plan> plan_;
};

TEST_F(PairsPlan, GoesOnAfterTheIterationsWhosePartsAreThere) {
  write_part(0);
  write_part(1);
  when("replay saves", [this] { write_part(2); });
  perform_plan();
  EXPECT_FALSE(failure_);
  EXPECT_EQ(only(cast().told[0], {"metrics", "loader", "replay saves"}),
            (lines{"metrics cut pairs 2 reward", "loader prompts 2", "metrics record pairs 3", "replay saves 2"}));
  EXPECT_EQ(cast().notes,
            (lines{"phase_resumed pairs 2: the pairs made so far are kept",
                   "checkpoint pairs 3: the pairs of this iteration are on disk", "phase_finished pairs 3"}));
}

TEST_F(PairsPlan, AStopDropsTheRolloutUnderWay) {
  write_part(0);
  when("policy generate", [this] { stop(); });
  perform_plan();
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(dropped_);
  EXPECT_EQ(only(cast().told[0], {"metrics record", "replay"}), lines{});
  EXPECT_EQ(cast().notes.size(), 1U) << "it is not finished";
}

}  // namespace
}  // namespace troupe::actors
