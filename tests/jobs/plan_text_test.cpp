// What `troupe plan` says of a phase.
#include "jobs/plan_text.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace troupe {
namespace {

const phase_plan ppo{.phase = "ppo",
                     .unit = "iteration",
                     .models = {{"policy", 1000}, {"critic", 900}},
                     .ranks = {{.ranks = {0, 1},
                                .memory = {{"policy weights", 4'000'000, held_in::always},
                                           {"keys and values", 2'500'000, held_in::rollout}}},
                               {.ranks = {2}, .memory = {{"critic weights", 3'000'000, held_in::always}}}},
                     .checkpoint_bytes = 1'500'000'000,
                     .checkpoints = 4,
                     .experience_bytes = 70'000,
                     .flops_each = 6e9,
                     .count = 10};

TEST(PlanText, OfAPhaseWithModelsOnRanksOfTheirOwn) {
  EXPECT_EQ(plan_text(ppo, stated_pace(1), 3),
            "ppo\n"
            "  policy: 1000 parameters\n"
            "  critic: 900 parameters\n"
            "    policy weights                      4.0 MB\n"
            "    keys and values                     2.5 MB   while it generates\n"
            "  memory of each of ranks 0-1           6.5 MB\n"
            "    critic weights                      3.0 MB\n"
            "  memory of each of ranks 2             3.0 MB\n"
            "  checkpoint                           1.50 GB, at most 4 on disk: 6.00 GB\n"
            "  experience on disk                    0.1 MB\n"
            "  work                             6e+09 FLOP per iteration, 6e+10 in 10 iterations\n"
            "  time                             2.0 s each, 20 s in all\n\n");
}

TEST(PlanText, OnCardsHasTwoColumns) {
  const phase_plan sft{.phase = "sft",
                       .unit = "update",
                       .models = {{"policy", 1000}},
                       .on_cards = true,
                       .ranks = {{.ranks = {0},
                                  .memory = {{"policy weights", 4'000'000, held_in::always, 2'000'000},
                                             {"policy moments", 8'000'000, held_in::always},
                                             {"policy gradients in flight", 0, held_in::policy_update, 4'000'000}}}},
                       .flops_each = 6e9};
  EXPECT_EQ(plan_text(sft, {}, 1), "sft\n"
                                   "  policy: 1000 parameters\n"
                                   "                                                  card        host\n"
                                   "    policy weights                              2.0 MB      4.0 MB\n"
                                   "    policy moments                                          8.0 MB\n"
                                   "    policy gradients in flight                  4.0 MB               in an update\n"
                                   "  memory of a rank                              6.0 MB     12.0 MB\n"
                                   "  work                             6e+09 FLOP per update\n\n")
      << "no pace, no time";
  const nlohmann::ordered_json plan = plan_json(sft, {}, 1);
  EXPECT_EQ(plan["card_memory_bytes"]["policy weights"], 2'000'000);
  EXPECT_FALSE(plan["memory_bytes"].contains("policy gradients in flight"));
  EXPECT_EQ(plan["card_peak_bytes"], 6'000'000);
  EXPECT_EQ(plan["ranks"][0]["card_bytes"], 6'000'000);
  EXPECT_FALSE(plan.contains("seconds_each"));
}

TEST(PlanJson, OfTheRanksThatHoldTheMost) {
  const nlohmann::ordered_json plan = plan_json(ppo, stated_pace(1), 3);
  EXPECT_EQ(plan["parameters"]["critic"], 900);
  EXPECT_EQ(plan["memory_bytes"]["keys and values"], 2'500'000);
  EXPECT_FALSE(plan["memory_bytes"].contains("critic weights"));
  EXPECT_EQ(plan["ranks"][1]["bytes"], 3'000'000);
  EXPECT_EQ(plan["peak_bytes"], 6'500'000);
  EXPECT_EQ(plan["seconds_each"], 2.0);
}

TEST(BytesText, PowersOfTen) {
  EXPECT_EQ(bytes_text(999'949'999), "999.9 MB");
  EXPECT_EQ(bytes_text(1'000'000'000), "1.00 GB");
}

}  // namespace
}  // namespace troupe
