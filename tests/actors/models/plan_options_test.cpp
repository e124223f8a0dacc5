// Every option of the job that directs a run reaches what directs it.
#include "actors/models/plan_options.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

TEST(PlanOptions, FewerRanksGenerateTogetherWhereTheirNumberDoesNotDivide) {
  EXPECT_EQ(tensor_parallel_of({.tensor_parallel = 4}, 8), 4);
  EXPECT_EQ(tensor_parallel_of({.tensor_parallel = 4}, 6), 2);
  EXPECT_EQ(tensor_parallel_of({.tensor_parallel = 4}, 3), 1);
}

TEST(PlanOptions, LearningRatesFollowTheOptimizersSection) {
  const io::optimizer_options options{
      .learning_rate = 0.5, .schedule = io::schedule::linear, .warm_up = 3, .min_ratio = 0.25};
  const engine::schedule_settings schedule = schedule_of(options, 10);
  EXPECT_EQ(schedule.kind, engine::schedule_kind::linear);
  EXPECT_EQ(schedule.peak, 0.5);
  EXPECT_EQ(schedule.warmup_updates, 3);
  EXPECT_EQ(schedule.total_updates, 10);
  EXPECT_EQ(schedule.min_ratio, 0.25);
  EXPECT_EQ(schedule_of(options, 2).warmup_updates, 2) << "a warm-up ends with the phase at the latest";
  EXPECT_EQ(schedule_of({.schedule = io::schedule::cosine}, 2).kind, engine::schedule_kind::cosine);
  EXPECT_EQ(schedule_of({.schedule = io::schedule::constant}, 2).kind, engine::schedule_kind::constant);
}

TEST(PlanOptions, KlControllerIsTheJobs) {
  const auto controller = kl_controller_of(
      {.kl_coef = 0.2, .kl_controller = io::kl_controller::adaptive, .kl_target = 3, .kl_horizon = 50});
  EXPECT_EQ(controller.initial, 0.2);
  EXPECT_TRUE(controller.adaptive);
  EXPECT_EQ(controller.target_nats, 3);
  EXPECT_EQ(controller.horizon, 50);
  EXPECT_FALSE(kl_controller_of({.kl_controller = io::kl_controller::fixed}).adaptive);
}

TEST(PlanOptions, DeadlinesAreSeconds) {
  const io::recovery_section recovery{.worker_deadline_s = 2.5, .silence_deadline_s = 0.25};
  EXPECT_EQ(silence_of(recovery), std::chrono::milliseconds(250));
  EXPECT_EQ(patience_with_card(recovery), std::chrono::milliseconds(1250));
  // The supervisor must have the first word: it looks each second, at what ranks tell of themselves.
  EXPECT_EQ(patience_with_peers(recovery), std::chrono::milliseconds(11250));
  EXPECT_GE(patience_with_peers(recovery), std::chrono::milliseconds(5000) + std::chrono::seconds(5));
}

}  // namespace
}  // namespace troupe::actors
