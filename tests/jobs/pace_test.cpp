// Times from operations: at a stated pace, at that of an earlier part of the run, at this machine's.
#include "io/run/ledger.hpp"
#include "io/run/metrics.hpp"
#include "io/run/run_directory.hpp"
#include "jobs/pace.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <fstream>

namespace troupe {
namespace {

TEST(Pace, AStatedOneIsThatOfEveryPhase) {
  const pace stated = stated_pace(2.5);
  EXPECT_DOUBLE_EQ(stated.of("ppo"), 2.5e9);
  EXPECT_EQ(stated.source, "2.5 GFLOP/s a rank, as stated");
}

TEST(Pace, APhaseThatWasMeasuredHasItsOwn) {
  const pace measured{.flops_per_s = 10, .of_phases = {{"sft", 40}}, .source = ""};
  EXPECT_EQ(measured.of("sft"), 40);
  EXPECT_EQ(measured.of("ppo"), 10);
}

TEST(Pace, SecondsAreOperationsByPaceAndRanks) {
  const phase_plan sft{.phase = "sft", .flops_each = 600, .count = 10};
  const phase_plan ppo{.phase = "ppo", .flops_each = 900, .count = 2};
  const pace at{.flops_per_s = 10, .of_phases = {{"ppo", 30}}, .source = ""};
  EXPECT_DOUBLE_EQ(seconds_each(sft, at, 3), 20);
  EXPECT_DOUBLE_EQ(*seconds_in_all({sft, ppo}, at, 3), 10 * 20 + 2 * 10);
}

TEST(Pace, APhaseOfUnknownLengthLeavesTheTimeUnknown) {
  const phase_plan known{.phase = "ppo", .flops_each = 900, .count = 2};
  const phase_plan by_epochs{.phase = "sft", .flops_each = 600, .count = 0};
  EXPECT_EQ(seconds_in_all({known, by_epochs}, stated_pace(1), 1), std::nullopt);
}

/// A run of supervised training on two ranks.
class RecordedPace : public ::testing::Test {
protected:
  void SetUp() override {
    job.run.dir = folder / "run";
    job.run.phases = {io::phase::sft};
    job.model.policy = test_data() + "/tiny/llama";
    job.data = {{.name = "a", .path = "/a.jsonl"}};
    job.sft.training.updates = 10;
  }

  io::run_directory begin_run() {
    const io::run_directory run = io::run_directory::open_or_create(job.run.dir);
    std::ofstream(run.job()) << io::job_text(job);
    io::ledger_writer(run).append(
        {.kind = io::ledger_kind::attempt_started, .attempt = 1, .fields = {{"ranks", int64_t{2}}}});
    return run;
  }

  static io::metrics_record record(int64_t update, double time) {
    return {.phase = "sft", .update = update, .attempt = 1, .time = time};
  }

  test::temporary_folder folder;
  io::job job;
};

TEST_F(RecordedPace, IsThatBetweenTheFirstAndTheLastRecordOfAnAttempt) {
  const io::run_directory run = begin_run();
  io::metrics_writer metrics(run.metrics());
  for (const auto& [update, time] :
       {std::pair(0, 100.0), std::pair(1, 160.0), std::pair(2, 161.0), std::pair(5, 168.0)}) {
    metrics.append(record(update, time));  // before the first update all is loaded and evaluated
  }
  const std::optional<pace> recorded = recorded_pace(job);
  ASSERT_TRUE(recorded);
  const double operations = plan_job(job).front().flops_each;
  EXPECT_DOUBLE_EQ(recorded->of("sft"), operations / 2 / 2) << "two seconds each, on two ranks";
  EXPECT_DOUBLE_EQ(recorded->of("ppo"), recorded->of("sft")) << "nothing better is known";
  EXPECT_EQ(recorded->source, "measured in " + job.run.dir);
  EXPECT_EQ(find_pace(job, 0, 1).source, recorded->source);
  EXPECT_EQ(find_pace(job, 3, 1).source, stated_pace(3).source);
}

TEST_F(RecordedPace, OneRecordTellsNothing) {
  EXPECT_EQ(recorded_pace(job), std::nullopt) << "there is no run";
  const io::run_directory run = begin_run();
  io::metrics_writer(run.metrics()).append(record(1, 160));
  EXPECT_EQ(recorded_pace(job), std::nullopt);
}

TEST(MeasuredPace, ThreadsBeyondThisMachineAreReckonedWith) {
  const pace one = measured_pace(1);
  EXPECT_GT(one.flops_per_s, 0);
  EXPECT_NE(one.source.find("of this machine's matrix product"), std::string::npos) << one.source;
  const pace many = measured_pace(1 << 16);
  EXPECT_GT(many.flops_per_s, one.flops_per_s);
  EXPECT_NE(many.source.find("65536 threads (measured with "), std::string::npos) << many.source;
}

}  // namespace
}  // namespace troupe
