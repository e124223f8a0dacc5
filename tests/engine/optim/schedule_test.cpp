#include "base/error.hpp"
#include "engine/optim/schedule.hpp"
#include "support/fixture.hpp"

#include <gtest/gtest.h>

namespace troupe::engine {
namespace {

TEST(LearningRate, SchedulesAreThoseOfTransformers) {
  const test::fixture f("tiny/math/adamw.safetensors");
  const std::pair<schedule_kind, const char*> kinds[] = {{schedule_kind::cosine, "schedule.cosine"},
                                                         {schedule_kind::linear, "schedule.linear"},
                                                         {schedule_kind::constant, "schedule.constant_with_warmup"}};
  for (const auto& [kind, name] : kinds) {
    const schedule_settings settings{kind, 1.0, f.integer("schedule.warmup_steps"), f.integer("schedule.total_steps"),
                                     0.0};
    const auto expected = f.doubles(name);
    for (size_t step = 0; step < expected.size(); ++step) {
      EXPECT_NEAR(learning_rate(settings, static_cast<int64_t>(step)), expected[step], 1e-14) << name << " at " << step;
    }
  }
}

TEST(LearningRate, FallsToTheMinimumRatioAndStays) {
  for (const schedule_kind kind : {schedule_kind::cosine, schedule_kind::linear}) {
    const schedule_settings settings{kind, 2e-3, 5, 20, 0.1};
    EXPECT_DOUBLE_EQ(learning_rate(settings, 5), 2e-3);
    EXPECT_NEAR(learning_rate(settings, 20), 2e-4, 1e-18);
    EXPECT_NEAR(learning_rate(settings, 1000), 2e-4, 1e-18);
  }
}

TEST(LearningRate, WithoutWarmUpTheFirstUpdateHasThePeak) {
  EXPECT_DOUBLE_EQ(learning_rate({schedule_kind::linear, 1e-3, 0, 10, 0}, 0), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate({schedule_kind::constant, 1e-3, 0, 0, 0}, 7), 1e-3);
}

TEST(LearningRate, SettingsThatCannotBeAreErrors) {
  EXPECT_THROW(learning_rate({schedule_kind::cosine, 1e-3, 11, 10, 0}, 0), error);
  EXPECT_THROW(learning_rate({schedule_kind::cosine, -1e-3, 0, 10, 0}, 0), error);
  EXPECT_THROW(learning_rate({schedule_kind::cosine, 1e-3, 0, 10, 1.5}, 0), error);
}

}  // namespace
}  // namespace troupe::engine
