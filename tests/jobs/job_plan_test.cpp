// What a job takes, against sums by hand for a Llama of two layers (tests/data/tiny/llama).
#include "actors/models/model_files.hpp"
#include "jobs/job_plan.hpp"
#include "support/damage.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace troupe {
namespace {

// Width 64, feed-forward 128, 512 tokens: embedding and head, and of each layer four square matrices, three of the
// feed-forward and two norms; the last norm.
constexpr int64_t embedding = 512 * 64;
constexpr int64_t layer_matrices = 4 * 64 * 64 + 3 * 64 * 128;
constexpr int64_t layer = layer_matrices + 2 * 64;
constexpr int64_t parameters = 2 * embedding + 2 * layer + 64;

io::job sft_job() {
  io::job job;
  job.run.phases = {io::phase::sft};
  job.model.policy = test_data() + "/tiny/llama";
  job.length.max_tokens = 32;
  job.sft.training.batch = 4;
  job.sft.training.updates = 10;
  return job;
}

int64_t bytes_of(const phase_plan& plan, const std::string& name) {
  for (const planned_memory& item : plan.ranks.front().memory) {
    if (item.name == name) {
      return item.bytes;
    }
  }
  return 0;
}

int64_t card_bytes_of(const phase_plan& plan, const std::string& name) {
  for (const planned_memory& item : plan.ranks.front().memory) {
    if (item.name == name) {
      return item.card_bytes;
    }
  }
  return 0;
}

TEST(JobPlan, SupervisedTraining) {
  const std::vector<phase_plan> plans = plan_job(sft_job());
  ASSERT_EQ(plans.size(), 1U);
  const phase_plan& sft = plans.front();
  EXPECT_EQ(sft.phase, "sft");
  EXPECT_EQ(sft.unit, "update");
  EXPECT_EQ(sft.count, 10);
  EXPECT_EQ(sft.models.front().parameters, parameters);
  EXPECT_EQ(sft.checkpoint_bytes, 3 * 4 * parameters) << "weights and both moments, four bytes each";
  EXPECT_EQ(sft.checkpoints, 3 + 1) << "those kept and the one being written: without evaluations there is no best one";
  // A multiplication and an addition for each weight but the embedding, four operations for each of 16 positions and 64
  // dimensions of each layer; three times that to learn.
  const double token = 2 * (2 * layer_matrices + embedding) + 2 * 4 * 16 * 64;
  EXPECT_DOUBLE_EQ(sft.flops_each, 3 * (4 * 32) * token);
}

TEST(JobPlan, ABestCheckpointIsKeptWherePhasesAreEvaluatedOnTheirWay) {
  io::job job = sft_job();
  job.sft.training.evaluate_every = 5;
  EXPECT_EQ(plan_job(job).front().checkpoints, 3 + 2);
  job.run.keep_best = false;
  EXPECT_EQ(plan_job(job).front().checkpoints, 3 + 1);
}

TEST(JobPlan, RanksDivideMomentsAndCopies) {
  io::job job = sft_job();
  const phase_plan alone = plan_job(job).front();
  job.place.ranks = 2;
  job.place.policy_zero = 1;
  const phase_plan divided = plan_job(job).front();
  EXPECT_EQ(bytes_of(divided, "checkpoint copy"), bytes_of(alone, "checkpoint copy") / 2);
  EXPECT_LT(bytes_of(divided, "policy moments"), bytes_of(alone, "policy moments") * 6 / 10);
  EXPECT_EQ(bytes_of(divided, "policy gradients"), bytes_of(alone, "policy gradients")) << "stage 1 has them whole";
  EXPECT_EQ(divided.ranks.front().ranks, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(divided.flops_each, alone.flops_each) << "of all ranks together";
}

TEST(JobPlan, RecomputedActivationsCostAFourthPass) {
  io::job job = sft_job();
  const phase_plan stored = plan_job(job).front();
  job.run.activation_checkpointing = true;
  const phase_plan recomputed = plan_job(job).front();
  EXPECT_DOUBLE_EQ(recomputed.flops_each, stored.flops_each * 4 / 3);
  EXPECT_LT(bytes_of(recomputed, "policy activations"), bytes_of(stored, "policy activations"));
}

TEST(JobPlan, APairIsOneItemOfAMicroBatch) {
  io::job job = sft_job();
  job.run.phases = {io::phase::reward};
  job.reward.training.batch = 4;
  job.reward.training.micro_batch_tokens = 1;
  const int64_t pair = bytes_of(plan_job(job).front(), "reward model activations");
  job.reward.training.micro_batch_tokens = 2 * job.length.max_tokens;
  EXPECT_EQ(bytes_of(plan_job(job).front(), "reward model activations"), pair);
}

io::job ppo_job() {
  io::job job = sft_job();
  job.run.phases = {io::phase::ppo};
  job.model.critic = job.model.policy;
  job.length.max_prompt_tokens = 16;
  job.generation.max_new_tokens = 16;
  job.ppo.micro_batch_tokens = 1;
  job.ppo.ptx_coef = 0;
  return job;
}

/// Of the Llama above, in bfloat16: saved for a token are three inputs of a layer (64), and of each layer queries, keys
/// and values (192), attention (64) and its float32 statistics (4), what stands between the halves (64) and the
/// feed-forward (256); and four rows of hidden states.
constexpr int64_t card_token = 2 * (3 * 64 + 2 * (192 + 64 + 64 + 256) + 4 * 64) + 2 * 4 * 4;

TEST(JobPlan, OnACardPassesTakeItsMemoryAndLearningTheHosts) {
  io::job job = sft_job();
  const phase_plan on_host = plan_job(job).front();
  EXPECT_EQ(on_host.card_peak_bytes(), 0);
  job.place.device = io::device_choice::cuda;
  job.place.optimizer = io::memory_place::host;
  job.model.type = io::weight_type::bf16;
  const phase_plan sft = plan_job(job).front();
  EXPECT_EQ(card_bytes_of(sft, "policy weights"), 2 * parameters);
  EXPECT_EQ(bytes_of(sft, "policy weights"), 4 * parameters) << "the optimizer's, of which the card's are rounded";
  EXPECT_EQ(bytes_of(sft, "policy masters"), 0);
  EXPECT_EQ(card_bytes_of(sft, "policy gradients in flight"), 4 * 2 * layer) << "two layers'";
  EXPECT_EQ(bytes_of(sft, "policy gradients on their way"), 4 * 3 * layer);
  EXPECT_EQ(card_bytes_of(sft, "policy activations"), 4 * 32 * card_token);
  for (const char* of_host : {"policy gradients", "policy moments", "checkpoint copy", "process"}) {
    EXPECT_EQ(bytes_of(sft, of_host), bytes_of(on_host, of_host)) << of_host;
    EXPECT_EQ(card_bytes_of(sft, of_host), 0) << of_host;
  }
  for (const char* of_card : {"policy activations", "policy scratch"}) {
    EXPECT_EQ(bytes_of(sft, of_card), 0) << of_card;
  }
  // Logits of all 128 rows: float32, bfloat16 gradients, two statistics.
  EXPECT_GT(card_bytes_of(sft, "scratch of passes"), 128 * (512 * 6 + 8));
}

TEST(JobPlan, OnACardThatLearnsTooTheHostHasWhatIsSavedAlone) {
  io::job job = sft_job();
  const phase_plan on_host = plan_job(job).front();
  job.place.device = io::device_choice::cuda;
  job.place.optimizer = io::memory_place::card;
  job.model.type = io::weight_type::bf16;
  const phase_plan sft = plan_job(job).front();
  EXPECT_EQ(card_bytes_of(sft, "policy weights"), 2 * parameters);
  EXPECT_EQ(card_bytes_of(sft, "policy masters"), 4 * parameters);
  EXPECT_EQ(card_bytes_of(sft, "policy gradients in flight"), 0) << "they go straight onto the sums";
  for (const char* of_card : {"policy gradients", "policy moments"}) {
    EXPECT_EQ(card_bytes_of(sft, of_card), bytes_of(on_host, of_card)) << of_card;
  }
  for (const char* of_card : {"policy weights", "policy masters", "policy gradients", "policy moments"}) {
    EXPECT_EQ(bytes_of(sft, of_card), 0) << of_card;
  }
  EXPECT_EQ(bytes_of(sft, "checkpoint copy"), bytes_of(on_host, "checkpoint copy"));
}

TEST(JobPlan, OfSharedWeightsACardHasTheSegmentsInUse) {
  io::job job = sft_job();
  job.place.device = io::device_choice::cuda;
  job.place.optimizer = io::memory_place::host;
  job.place.ranks = 2;
  job.place.policy_zero = 3;
  const phase_plan sft = plan_job(job).front();
  EXPECT_EQ(card_bytes_of(sft, "policy weights"), 4 * 2 * layer) << "two layers";
}

TEST(JobPlan, SharedWeightsThatGoToACardToGenerateAreNeverWholeInHostMemory) {
  io::job job = ppo_job();
  job.place.ranks = 2;
  job.place.policy_zero = 3;
  EXPECT_GT(bytes_of(plan_job(job).front(), "policy weights to generate"), 0);
  job.place.device = io::device_choice::cuda;
  job.place.optimizer = io::memory_place::host;
  const phase_plan ppo = plan_job(job).front();
  EXPECT_EQ(bytes_of(ppo, "policy weights to generate"), 0);
  EXPECT_GT(card_bytes_of(ppo, "policy weights to generate"), 0);
}

TEST(JobPlan, ACardHasEachModelsGradientsInItsOwnUpdateAndTheCacheWhileItGenerates) {
  io::job job = ppo_job();
  job.place.device = io::device_choice::cuda;
  job.place.optimizer = io::memory_place::host;
  job.model.type = io::weight_type::bf16;
  job.generation.cache_mib = 1;
  job.evaluation.prompts = 0;
  const phase_plan ppo = plan_job(job).front();
  // Whole pages of 64 positions, of keys and values 64 wide in two layers.
  EXPECT_EQ(card_bytes_of(ppo, "keys and values"), 32 * (2 * 2 * 64 * 64 * 2));
  EXPECT_EQ(bytes_of(ppo, "keys and values"), 0);
  EXPECT_EQ(card_bytes_of(ppo, "reference weights"), 2 * parameters);
  EXPECT_EQ(bytes_of(ppo, "reference weights"), 2 * parameters) << "from which the card's were sent";
  int64_t sum = 0;
  for (const planned_memory& item : ppo.ranks.front().memory) {
    sum += item.card_bytes;
  }
  const auto update_of = [&](const std::string& model) {
    return card_bytes_of(ppo, model + " gradients in flight") + card_bytes_of(ppo, model + " activations");
  };
  const int64_t policy = update_of("policy"), critic = update_of("critic");
  const int64_t rollout = card_bytes_of(ppo, "keys and values");
  // Of the job's 64 prompts steps of 16, 32 and 64 rows: logits, hidden states and the widths of a pass.
  EXPECT_EQ(card_bytes_of(ppo, "decoding"), 112 * (4 * 512 + 2 * (3 * 64 + 128 + 192 + 64 + 256 + 64)));
  EXPECT_EQ(ppo.card_peak_bytes(), sum - policy - critic - rollout + std::max(policy, rollout));
}

TEST(JobPlan, OfAModelThatIsStreamedACardHasTheSegmentsInUse) {
  io::job job = ppo_job();
  job.place.device = io::device_choice::cuda;
  job.model.type = io::weight_type::bf16;
  job.rewards.push_back({.name = "judge", .kind = io::reward_kind::model, .model = job.model.policy});
  const phase_plan there = plan_job(job).front();
  job.place.frozen = io::memory_place::host;
  const phase_plan streamed = plan_job(job).front();
  for (const std::string frozen : {"reference weights", "reward model judge weights"}) {
    EXPECT_EQ(card_bytes_of(streamed, frozen + " in flight"), 2 * 2 * layer) << frozen;
    EXPECT_EQ(card_bytes_of(streamed, frozen), 0) << frozen;
    EXPECT_EQ(bytes_of(streamed, frozen), bytes_of(there, frozen)) << frozen;
  }
  EXPECT_EQ(card_bytes_of(streamed, "critic weights"), card_bytes_of(there, "critic weights")) << "it learns";
}

TEST(JobPlan, AFirstSegmentWithATiedHeadHasItsGradientForAllOfAPass) {
  io::job job = sft_job();
  job.place.device = io::device_choice::cuda;
  job.place.optimizer = io::memory_place::host;
  job.model.policy = test_data() + "/tiny/llama3";
  const auto segments = engine::transformer(actors::shape_of(job.model.policy)).segments();
  EXPECT_EQ(card_bytes_of(plan_job(job).front(), "policy gradients in flight"),
            4 * (segments[0].size() + segments[1].size() + segments[2].size()));
}

TEST(JobPlan, ModelsOfACardShareItsScratch) {
  io::job job = ppo_job();
  job.place.device = io::device_choice::cuda;
  job.place.optimizer = io::memory_place::host;
  const int64_t once = card_bytes_of(plan_job(job).front(), "scratch of passes");
  job.rewards.push_back({.name = "judge", .kind = io::reward_kind::model, .model = job.model.policy});
  EXPECT_EQ(card_bytes_of(plan_job(job).front(), "scratch of passes"), once);
  EXPECT_EQ(card_bytes_of(plan_job(job).front(), "reward model judge weights"), 4 * (parameters - embedding + 32 * 64))
      << "a head of one row, in a panel of 32";
}

TEST(JobPlan, AnswersAreAsLongAsTheJobSaysNotAsItsRecords) {
  io::job job = ppo_job();
  const phase_plan small = plan_job(job).front();
  job.generation.max_new_tokens = 48;  // 64 with the prompt, though length.max-tokens is 32
  const phase_plan large = plan_job(job).front();
  for (const char* doubled : {"policy activations", "critic activations"}) {
    EXPECT_EQ(bytes_of(large, doubled), 2 * bytes_of(small, doubled)) << doubled;
  }
  EXPECT_GT(large.flops_each, 2 * small.flops_each);
  EXPECT_GT(large.experience_bytes, small.experience_bytes);
  job.generation.max_new_tokens = 1000;
  EXPECT_EQ(bytes_of(plan_job(job).front(), "policy activations"), 2 * bytes_of(large, "policy activations"))
      << "no longer than the model's 128 positions";
}

TEST(JobPlan, ExperienceOnDiskIsWhatTheJobKeeps) {
  io::job job = ppo_job();
  job.ppo.iterations = 100;
  job.evaluation.prompts = 0;
  const auto bytes = [&](const io::experience_section& keeps) {
    job.experience = keeps;
    return plan_job(job).front().experience_bytes;
  };
  const int64_t all = bytes({});
  EXPECT_EQ(bytes({.keep = 10}) * 10, all);
  EXPECT_EQ(bytes({.keep = 10, .keep_every = 20, .keep_best = 5}) * 5, all);
  EXPECT_EQ(bytes({.keep = 90, .keep_every = 1}), all);
}

TEST(JobPlan, MixtureMayHaveTheLongestSequences) {
  io::job job = ppo_job();
  job.length.max_tokens = 128;
  const phase_plan alone = plan_job(job).front();
  job.ppo.ptx_coef = 1;
  const phase_plan mixed = plan_job(job).front();
  EXPECT_EQ(bytes_of(mixed, "policy activations"), 4 * bytes_of(alone, "policy activations"));
  EXPECT_EQ(bytes_of(mixed, "critic activations"), bytes_of(alone, "critic activations"));
}

TEST(JobPlan, EveryModelWithoutAConfigIsNamed) {
  io::job job = sft_job();
  job.model.policy = "/no/policy";
  job.model.critic = "/no/critic";
  test::expect_error(errc::not_found, "model.policy = /no/policy", [&] { plan_job(job); });
  test::expect_error(errc::not_found, "model.critic = /no/critic", [&] { plan_job(job); });
}

TEST(JobPlan, WhatArrivesFromOtherCardsIsWhereTheyExchange) {
  io::job job = sft_job();
  job.place.device = io::device_choice::cuda;
  job.place.ranks = 2;
  job.run.lanes = 2;
  const auto reductions = [&](io::card_exchange by) {
    job.place.exchange = by;
    const phase_plan plan = plan_job(job).front();
    return std::pair(card_bytes_of(plan, "policy arriving pieces"), bytes_of(plan, "policy reductions"));
  };
  const auto [card, host] = reductions(io::card_exchange::automatic);
  EXPECT_GT(card, 0);
  EXPECT_EQ(host, card);
  EXPECT_EQ(reductions(io::card_exchange::nccl), std::pair(card, int64_t{0}));
  EXPECT_EQ(reductions(io::card_exchange::host), std::pair(int64_t{0}, host));
  job.place.optimizer = io::memory_place::host;  // then it is host memory that ranks exchange
  EXPECT_EQ(reductions(io::card_exchange::nccl), std::pair(int64_t{0}, host));
}

TEST(RankPlan, WhatIsNotHeldTogetherCountsOnce) {
  const rank_plan rank{.ranks = {0},
                       .memory = {{"weights", 100, held_in::always},
                                  {"keys and values", 7, held_in::rollout},
                                  {"weights to generate", 5, held_in::rollout},
                                  {"reductions", 11, held_in::policy_update}}};
  EXPECT_EQ(rank.bytes(), 100 + 12);
  EXPECT_EQ((rank_plan{.ranks = {0}, .memory = {{"weights", 100, held_in::always}}}.bytes()), 100);
}

TEST(RunDirectoryBytes, CheckpointsModelsAndExperience) {
  const phase_plan pairs{.phase = "pairs", .models = {{"policy", 1000}}};
  const phase_plan sft{
      .phase = "sft", .models = {{"policy", 1000}}, .checkpoint_bytes = 12000, .checkpoints = 4, .count = 1};
  const phase_plan ppo{.phase = "ppo",
                       .models = {{"policy", 1000}, {"critic", 900}},
                       .checkpoint_bytes = 26800,
                       .checkpoints = 5,
                       .experience_bytes = 77};
  io::job job;
  job.ppo.ema_decay = 0;
  // Three of sft and four of ppo stay, and of the largest one is being written; pairs leave text only.
  const int64_t without_average = 3 * 12000 + 4000 + 4 * 26800 + 77 + 7600 + 26800;
  EXPECT_EQ(run_directory_bytes(job, {pairs, sft, ppo}), without_average);
  job.ppo.ema_decay = 0.99;
  EXPECT_EQ(run_directory_bytes(job, {pairs, sft, ppo}), without_average + 4000) << "the policy's average too";
}

}  // namespace
}  // namespace troupe
