// Every option of the job that the engine has a setting for reaches it.
#include "actors/models/options.hpp"

#include <gtest/gtest.h>

namespace troupe::actors {
namespace {

TEST(Options, SamplingIsTheGenerationSections) {
  const auto sampling = sampling_of(
      {.temperature = 0.5, .top_k = 7, .top_p = 0.75, .min_p = 0.125, .repetition_penalty = 1.5, .stop = {}});
  EXPECT_EQ(sampling.temperature, 0.5F);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.top_p, 0.75F);
  EXPECT_EQ(sampling.min_p, 0.125F);
  EXPECT_EQ(sampling.repetition_penalty, 1.5F);
}

TEST(Options, GreedyRolloutsAreTrainedAtTemperatureOne) {
  EXPECT_EQ(training_temperature({.temperature = 0.5F}), 0.5F);
  EXPECT_EQ(training_temperature({.temperature = 0}), 1.0F);
}

TEST(Options, CacheHasAsManyPagesAsItsMemoryHolds) {
  const engine::model_description shape{.layers = 2, .heads = 4, .kv_heads = 2, .head_width = 8};
  const int64_t page = engine::kv_cache::page_bytes(shape);
  const auto settings = generator_settings_of({.stop = {}, .cache_mib = 3, .step_tokens = 99}, shape, dtype::f32);
  EXPECT_EQ(settings.cache_pages, 3 * 1024 * 1024 / page);
  EXPECT_EQ(generator_settings_of({.stop = {}, .cache_mib = 3}, shape, dtype::bf16).cache_pages,
            3 * 1024 * 1024 / (page / 2));
  EXPECT_GT(settings.cache_pages, 1);
  EXPECT_EQ(settings.step_tokens, 99);
  engine::model_description huge = shape;
  huge.layers = 1'000'000;
  EXPECT_EQ(generator_settings_of({.stop = {}, .cache_mib = 1}, huge, dtype::f32).cache_pages, 1);
}

TEST(Options, OptimizersSettingsArriveOneByOne) {
  const io::optimizer_options options{.weight_decay = 0.1, .beta1 = 0.8, .beta2 = 0.9, .epsilon = 1e-6, .clip_norm = 2};
  const engine::adamw_settings adamw = adamw_of(options);
  EXPECT_EQ(adamw.weight_decay, 0.1);
  EXPECT_EQ(adamw.beta1, 0.8);
  EXPECT_EQ(adamw.beta2, 0.9);
  EXPECT_EQ(adamw.epsilon, 1e-6);
  EXPECT_EQ(adamw.clip_norm, 2);
}

TEST(Options, CardsExchangeAsThePlaceSays) {
  io::job job;
  EXPECT_EQ(exchange_of(job).wanted, engine::card_exchange::automatic);
  job.place.exchange = io::card_exchange::nccl;
  EXPECT_EQ(exchange_of(job).wanted, engine::card_exchange::wires);
  job.place.exchange = io::card_exchange::host;
  job.recovery.worker_deadline_s = 2;
  EXPECT_EQ(exchange_of(job).wanted, engine::card_exchange::host);
  EXPECT_EQ(exchange_of(job).deadline, std::chrono::seconds(10));  // that of everything between ranks
  EXPECT_LT(exchange_of(job).join_deadline, std::chrono::seconds(2)) << "a rank that joins for longer counts as hung";
}

TEST(Options, PairLossHasItsKindAndItsCentring) {
  EXPECT_EQ(pair_loss_of({.loss = io::reward_loss::end}).kind, engine::pair_loss::end_token);
  EXPECT_EQ(pair_loss_of({.loss = io::reward_loss::span}).kind, engine::pair_loss::span);
  EXPECT_EQ(pair_loss_of({.centring = 0.01}).centring, 0.01);
}

TEST(Options, KlStandsInTheRewardOrInTheLossNotInBoth) {
  io::ppo_section ppo{.kl_estimator = io::kl_estimator::k2, .kl_in = io::kl_place::reward};
  EXPECT_EQ(policy_loss_of(ppo, 0.3).kl_coefficient, 0);
  EXPECT_EQ(experience_of(ppo, 0.3).shaping.kl_coefficient, 0.3);
  EXPECT_EQ(experience_of(ppo, 0.3).shaping.estimator, engine::kl_estimator::k2);
  ppo.kl_in = io::kl_place::loss;
  ppo.kl_estimator = io::kl_estimator::k3;
  EXPECT_EQ(policy_loss_of(ppo, 0.3).kl_coefficient, 0.3);
  EXPECT_EQ(policy_loss_of(ppo, 0.3).estimator, engine::kl_estimator::k3);
  EXPECT_EQ(experience_of(ppo, 0.3).shaping.kl_coefficient, 0);
}

TEST(Options, LossesOfPpoHaveTheirClips) {
  const io::ppo_section ppo{.clip = 0.1, .value_clip = 0.3, .entropy_coef = 0.02};
  EXPECT_EQ(policy_loss_of(ppo, 0).clip_low, 0.1);
  EXPECT_EQ(policy_loss_of(ppo, 0).clip_high, 0.1);
  EXPECT_EQ(policy_loss_of(ppo, 0).entropy_coefficient, 0.02);
  EXPECT_EQ(value_loss_of(ppo).clip, 0.3);
  EXPECT_EQ(loss_mean_of({.loss = io::loss_mean::token}), engine::loss_mean::token);
  EXPECT_EQ(loss_mean_of({.loss = io::loss_mean::sequence}), engine::loss_mean::sequence);
}

TEST(Options, ExperienceIsMadeAsTheJobSays) {
  const io::ppo_section ppo{.gamma = 0.9,
                            .lambda = 0.8,
                            .reward_clip = 3,
                            .reward_scaling = io::reward_scaling::running,
                            .reward_centre = true,
                            .whiten_advantages = false,
                            .missing_end_penalty = 2,
                            .min_answer_tokens = 4};
  const engine::experience_settings made = experience_of(ppo, 0);
  EXPECT_EQ(made.advantages.gamma, 0.9);
  EXPECT_EQ(made.advantages.lambda, 0.8);
  EXPECT_EQ(made.shaping.score_clip, 3);
  EXPECT_EQ(made.shaping.missing_end_penalty, 2);
  EXPECT_EQ(made.scaling.kind, engine::reward_scaling::running);
  EXPECT_TRUE(made.scaling.centre);
  EXPECT_FALSE(made.whiten);
  EXPECT_EQ(made.min_answer_tokens, 4);
  EXPECT_EQ(experience_of({.reward_scaling = io::reward_scaling::none}, 0).scaling.kind, engine::reward_scaling::none);
  EXPECT_EQ(experience_of({.reward_scaling = io::reward_scaling::batch}, 0).scaling.kind,
            engine::reward_scaling::batch);
}

TEST(Options, RolloutsOfPpoAreTheGenerationSections) {
  io::job job;
  job.run.seed = 5;
  job.generation = {.max_new_tokens = 9, .temperature = 0.5, .stop = {"END"}, .cache_mib = 3, .step_tokens = 99};
  job.ppo.samples_per_prompt = 2;
  job.evaluation.samples_per_prompt = 7;
  job.pairs = {.samples_per_prompt = 4, .temperature = 1.5, .max_new_tokens = 6};
  const rollout_options ppo = rollout_of(job, io::phase::ppo);
  EXPECT_EQ(ppo.sampling.temperature, 0.5F);
  EXPECT_EQ(ppo.new_tokens, 9);
  EXPECT_EQ(ppo.samples(false), 2);
  EXPECT_EQ(ppo.samples(true), 7);
  EXPECT_EQ(ppo.seed(false), 5U);
  EXPECT_NE(ppo.seed(true), 5U);
  EXPECT_EQ(ppo.stop, std::vector<std::string>{"END"});
  EXPECT_EQ(ppo.cache_mib, 3);
  EXPECT_EQ(ppo.step_tokens, 99);

  const rollout_options pairs = rollout_of(job, io::phase::pairs);
  EXPECT_EQ(pairs.sampling.temperature, 1.5F);
  EXPECT_EQ(pairs.new_tokens, 6);
  EXPECT_EQ(pairs.samples(false), 4);
  job.pairs.max_new_tokens = 0;
  EXPECT_EQ(rollout_of(job, io::phase::pairs).new_tokens, 9) << "as everywhere, where the phase says nothing";
}

TEST(Options, BatchesAreThoseOfThePhasesSection) {
  io::job job;
  job.run.seed = 5;
  job.sft = {.training = {.batch = 4, .micro_batch_tokens = 8}, .loss = io::sft_loss::all};
  job.reward.training = {.batch = 6, .micro_batch_tokens = 12};
  job.pairs.prompts_per_iteration = 3;
  job.ppo = {.prompts = 10, .samples_per_prompt = 2, .minibatches = 4, .micro_batch_tokens = 16};
  job.evaluation = {.prompts = 7, .records = 9};
  const batch_options sft = batches_of(job, io::phase::sft);
  EXPECT_EQ(sft.seed, 5U);
  EXPECT_FALSE(sft.pairs);
  EXPECT_TRUE(sft.all_tokens);
  EXPECT_EQ(sft.training, 4);
  EXPECT_EQ(sft.micro_batch_tokens, 8);
  EXPECT_EQ(sft.held_out, 9);
  const batch_options reward = batches_of(job, io::phase::reward);
  EXPECT_TRUE(reward.pairs);
  EXPECT_EQ(reward.training, 6);
  EXPECT_EQ(reward.micro_batch_tokens, 12);
  EXPECT_EQ(batches_of(job, io::phase::pairs).prompts, 3);
  const batch_options ppo = batches_of(job, io::phase::ppo);
  EXPECT_EQ(ppo.prompts, 10);
  EXPECT_EQ(ppo.held_out_prompts, 7);
  EXPECT_EQ(ppo.mixture, 5) << "as many as an update has samples";
  EXPECT_EQ(ppo.mixture_micro_batch_tokens, 16);
  job.ppo.ptx_batch = 3;
  EXPECT_EQ(batches_of(job, io::phase::ppo).mixture, 3);
}

}  // namespace
}  // namespace troupe::actors
