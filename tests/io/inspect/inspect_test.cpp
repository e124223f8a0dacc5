// What is said of things on disk: of a model, an experience file, a run. Checkpoints: commands_test.
#include "io/experience/experience.hpp"
#include "io/inspect/inspect.hpp"
#include "io/run/ledger.hpp"
#include "io/run/metrics.hpp"
#include "io/run/run_directory.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <limits>

namespace troupe::io {
namespace {

using test::expect_error;
using test::temporary_folder;

TEST(Inspect, ARunIsDescribed) {
  const temporary_folder folder;
  const run_directory run = run_directory::open_or_create(folder / "run");
  run.begin_attempt();
  ledger_writer ledger(run);
  ledger.append({.kind = ledger_kind::phase_started, .attempt = 1, .phase = "sft"});
  ledger.append({.kind = ledger_kind::worker_failed, .attempt = 1, .fields = {{"signal", int64_t{11}}}});
  metrics_writer(run.metrics()).append({.phase = "sft", .update = 3, .values = {{"sft/loss", 0.5}}});
  const auto json = nlohmann::json::parse(inspect_path(run.root(), true));
  EXPECT_EQ(json["kind"], "run");
  EXPECT_EQ(json["attempts"], 1);
  EXPECT_EQ(json["phase"], "sft");
  EXPECT_EQ(json["failures"][0]["signal"], 11);
  EXPECT_EQ(json["last_metrics"]["sft/loss"], 0.5);
  EXPECT_NE(inspect_path(run.root(), false).find("worker_failed"), std::string::npos);
  expect_error(errc::bad_argument, "is no model folder", [&] { inspect_path(folder.path(), true); });
}

TEST(Inspect, AModelIsDescribed) {
  const auto json = nlohmann::json::parse(inspect_path(test_data() + "/tiny/llama", true));
  EXPECT_EQ(json["kind"], "model");
  EXPECT_EQ(json["model_type"], "llama");
  EXPECT_EQ(json["architecture"], "LlamaForCausalLM");
  constexpr int64_t parameters = 147776 + 64;  // those that jobs/job_plan_test.cpp sums up, and v_head.safetensors
  EXPECT_EQ(json["parameters"], parameters);
  EXPECT_EQ(json["bytes"], 4 * parameters);
  EXPECT_EQ(json["parameters_by_type"], nlohmann::json({{"f32", parameters}}));
}

TEST(Inspect, ExperienceIsDescribedWhateverItsValues) {
  const temporary_folder folder;
  experience e;
  e.source_names = {"stories"};
  e.reward_names = {"words"};
  e.sequence_id_B = {3, 9};
  e.prompt_id_B = e.group_B = {1, 2};
  e.source_B = {0, 0};
  e.token_N = {1, 2, 3, 4};
  e.sequence_offset_B1 = {0, 2, 4};
  e.answer_offset_B1 = {0, 1, 2};
  e.finished_B = {1, 0};
  e.logprob_old_A = {-1, -2};
  e.logprob_ref_A = {-1.5F, -1};
  e.value_A = {0, 0};
  e.reward_raw_BS = {2, 6};
  e.reward_shaped_A = {0, std::numeric_limits<float>::quiet_NaN()};
  e.advantage_A = {0, 0};
  write_experience_unchecked(folder / "e.h5", e);
  const auto json = nlohmann::json::parse(inspect_path(folder / "e.h5", true));
  EXPECT_EQ(json["kind"], "experience");
  EXPECT_EQ(json["sequences"], 2);
  EXPECT_EQ(json["groups"], 2);
  EXPECT_EQ(json["behaviour"], "sampled");
  EXPECT_EQ(json["answer_tokens"], 2);
  EXPECT_EQ(json["finished"], 1);
  EXPECT_EQ(json["reward_raw"]["words"],
            nlohmann::json({{"n", 2}, {"mean", 4.0}, {"std", 2.0}, {"min", 2.0}, {"max", 6.0}}));
  EXPECT_EQ(json["reward_shaped"]["not_finite"], 1);
  EXPECT_EQ(json["logprob_old_minus_ref"]["mean"], -0.25);
}

TEST(Inspect, WhatIsNotThereOrUnknownIsSaid) {
  const temporary_folder folder;
  expect_error(errc::not_found, "does not exist", [&] { inspect_path(folder / "none", true); });
  expect_error(errc::bad_argument, "is no model folder", [&] { inspect_path(folder.path(), false); });
}

}  // namespace
}  // namespace troupe::io
