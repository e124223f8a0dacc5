// Every option of the job that the engine has a setting for reaches it.
#include "actors/models/options.hpp"
#include "support/piece_tokenizer.hpp"
#include "support/test_data.hpp"

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
  const auto settings = generator_settings_of({.stop = {}, .cache_mib = 3, .step_tokens = 99}, shape);
  EXPECT_EQ(settings.cache_pages, 3 * 1024 * 1024 / page);
  EXPECT_GT(settings.cache_pages, 1);
  EXPECT_EQ(settings.step_tokens, 99);
  engine::model_description huge = shape;
  huge.layers = 1'000'000;
  EXPECT_EQ(generator_settings_of({.stop = {}, .cache_mib = 1}, huge).cache_pages, 1);
}

TEST(Options, FewerRanksGenerateTogetherWhereTheirNumberDoesNotDivide) {
  EXPECT_EQ(tensor_parallel_of({.tensor_parallel = 4}, 8), 4);
  EXPECT_EQ(tensor_parallel_of({.tensor_parallel = 4}, 6), 2);
  EXPECT_EQ(tensor_parallel_of({.tensor_parallel = 4}, 3), 1);
}

TEST(Options, OptimizersSettingsArriveOneByOne) {
  const io::optimizer_options options{.learning_rate = 0.5,
                                      .schedule = io::schedule::linear,
                                      .warm_up = 3,
                                      .min_ratio = 0.25,
                                      .weight_decay = 0.1,
                                      .beta1 = 0.8,
                                      .beta2 = 0.9,
                                      .epsilon = 1e-6,
                                      .clip_norm = 2};
  const engine::adamw_settings adamw = adamw_of(options);
  EXPECT_EQ(adamw.weight_decay, 0.1);
  EXPECT_EQ(adamw.beta1, 0.8);
  EXPECT_EQ(adamw.beta2, 0.9);
  EXPECT_EQ(adamw.epsilon, 1e-6);
  EXPECT_EQ(adamw.clip_norm, 2);
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

TEST(Options, KlControllerIsTheJobs) {
  const auto controller = kl_controller_of(
      {.kl_coef = 0.2, .kl_controller = io::kl_controller::adaptive, .kl_target = 3, .kl_horizon = 50});
  EXPECT_EQ(controller.initial, 0.2);
  EXPECT_TRUE(controller.adaptive);
  EXPECT_EQ(controller.target_nats, 3);
  EXPECT_EQ(controller.horizon, 50);
  EXPECT_FALSE(kl_controller_of({.kl_controller = io::kl_controller::fixed}).adaptive);
}

TEST(Options, DeadlinesAreSeconds) {
  const io::recovery_section recovery{.worker_deadline_s = 2.5, .silence_deadline_s = 0.25};
  EXPECT_EQ(silence_of(recovery), std::chrono::milliseconds(250));
  // The supervisor must have the first word: it looks each second, at what ranks tell of themselves.
  EXPECT_EQ(patience_with_peers(recovery), std::chrono::milliseconds(11250));
  EXPECT_GE(patience_with_peers(recovery), std::chrono::milliseconds(5000) + std::chrono::seconds(5));
}

/// A tiny model that says of its end tokens what these texts say.
model_ptr model_with(const std::string& config, const std::string& generation_config) {
  auto m = load_model(test_data() + "/tiny/gpt2", head_kind::language_model);
  m->config_json = config;
  m->generation_config_json = generation_config;
  return m;
}

using ids = std::vector<int32_t>;

TEST(Options, EndTokensAreThoseOfTheGenerationConfigFirst) {
  EXPECT_EQ(end_tokens_of(*model_with(R"({"eos_token_id": 3})", R"({"eos_token_id": [9, 5, 9]})")), (ids{5, 9}));
  EXPECT_EQ(end_tokens_of(*model_with(R"({"eos_token_id": 3})", R"({"pad_token_id": 1})")), (ids{3}));
  EXPECT_EQ(end_tokens_of(*model_with(R"({"eos_token_id": 3})", "")), (ids{3}));
  EXPECT_EQ(end_tokens_of(*model_with("{}", "")), ids{});
}

TEST(Options, EndTokensThatTheModelCannotSayAreLeftOut) {
  const model_ptr m = model_with(R"({"eos_token_id": [-1, 4, 1000000]})", "");
  EXPECT_EQ(end_tokens_of(*m), (ids{4}));
}

TEST(Options, AnswersStopAtTheTokenizersEndToo) {
  const model_ptr m = model_with(R"({"eos_token_id": 3})", "");
  const test::piece_tokenizer with_end({"a", "b", "</s>"}, {.eos = 2});
  const test::piece_tokenizer without({"a"});
  EXPECT_EQ(stop_tokens_of(*m, with_end), (ids{2, 3}));
  EXPECT_EQ(stop_tokens_of(*m, without), (ids{3}));
}

TEST(Options, ExamplesStartAsTheTokenizersTextsDoAndEndWithItsEnd) {
  const std::vector<std::string> pieces = {"<s>", "</s>", "a"};
  io::job job;
  job.length.max_tokens = 17;
  const auto both =
      std::make_shared<test::piece_tokenizer>(pieces, io::special_ids{.bos = 0, .eos = 1}, ids{0}, ids{1});
  const io::example_rules rules = example_rules_of(job, both);
  EXPECT_EQ(rules.start, ids{0}) << "the end that the tokenizer appends is no part of a start";
  EXPECT_EQ(rules.end, 1);
  EXPECT_EQ(rules.encode("aa", true), (ids{2, 2})) << "start and end are the rules' to add";
  EXPECT_EQ(rules.length.max_tokens, 17);

  const auto one = std::make_shared<test::piece_tokenizer>(pieces, io::special_ids{.bos = 1, .eos = 1}, ids{1});
  EXPECT_EQ(example_rules_of(job, one).start, ids{1}) << "OPT and GPT-2: the same token starts and ends";
  const auto none = std::make_shared<test::piece_tokenizer>(pieces);
  EXPECT_EQ(example_rules_of(job, none).start, ids{});
  EXPECT_EQ(example_rules_of(job, none).end, std::nullopt);
}

}  // namespace
}  // namespace troupe::actors
