// Training alone, with a tiny model: gradients of a list of micro-batches, statistics in their order, held-out passes.
#include "actors/cast/trainer.hpp"
#include "engine/train/scoring.hpp"
#include "support/local_ranks.hpp"
#include "support/refusal.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {
namespace {

constexpr int lanes = 4;
constexpr const char* operation = "policy gradients";

/// Four micro-batches; batch i has a sequence of 3 + i tokens.
std::vector<engine::packed_batch> batches() {
  std::vector<engine::packed_batch> all(4);
  for (size_t i = 0; i < all.size(); ++i) {
    std::vector<int32_t> tokens;
    for (size_t t = 0; t < 3 + i; ++t) {
      tokens.push_back(static_cast<int32_t>(5 + 7 * i + 3 * t));
    }
    all[i].add(tokens, 1);
  }
  return all;
}
constexpr int64_t tokens_in_all = 3 + 4 + 5 + 6;

trained_model_ptr tiny_model(const engine::communicator_ptr& group) {
  auto trained = std::make_shared<trained_model>();
  trained->of = load_model(test_data() + "/tiny/gpt2", head_kind::language_model);
  trained->learner =
      std::make_unique<engine::learner>(trained->of->net, engine::learner_settings{.lanes = lanes}, group);
  return trained;
}

struct rank_under_test {
  explicit rank_under_test(const engine::communicator_ptr& group)
      : trained(tiny_model(group)), training({.on = on, .as = role::policy, .trained = trained}) {}

  training_result<engine::lm_statistics> learn(const std::vector<engine::packed_batch>& all) {
    const engine::lm_scale scale{.tokens = 14, .coefficient = 1};
    return training.accumulate<engine::lm_statistics>(operation, list_of(all),
                                                      [&](context& ctx, const engine::trainee& to, size_t index) {
                                                        indices.push_back(index);
                                                        return engine::sft_micro_batch(ctx, to, all[index], scale);
                                                      });
  }
  std::string weights_after_update() {
    trained->learner->update(on->ctx, trained->of->weights.data(), 1e-2);
    return {reinterpret_cast<const char*>(trained->of->weights.begin()),
            reinterpret_cast<const char*>(trained->of->weights.end())};
  }

  device_ptr on = std::make_shared<device>(1);
  trained_model_ptr trained;
  trainer training;
  std::vector<size_t> indices;  ///< of the micro-batches that this rank computed
};

TEST(Trainer, SumsWhatItsMicroBatchesSayAndLeavesTheirGradientsToTheOptimizer) {
  rank_under_test one(nullptr);
  const std::string before(reinterpret_cast<const char*>(one.trained->of->weights.begin()),
                           reinterpret_cast<const char*>(one.trained->of->weights.end()));
  const auto all = batches();
  const auto learned = one.learn(all);
  EXPECT_EQ(one.indices, (std::vector<size_t>{0, 1, 2, 3}));
  EXPECT_EQ(learned.tokens, tokens_in_all);
  EXPECT_EQ(learned.sums.tokens, tokens_in_all - 4) << "every token but the first of each sequence";
  double nll_nats = 0;
  for (const engine::packed_batch& batch : all) {
    const engine::weights_view weights(one.trained->of->weights.data());
    for (const float logprob : engine::answer_log_probs(one.on->ctx, one.trained->of->net, weights, batch, 1.0F)) {
      nll_nats -= static_cast<double>(logprob);
    }
  }
  EXPECT_NEAR(learned.sums.nll_nats, nll_nats, 1e-4);
  EXPECT_NE(one.weights_after_update(), before);

  const train_reply reply = learned.reply({{"policy/loss", 2.0}});
  EXPECT_EQ(reply.tokens, tokens_in_all);
  EXPECT_EQ(reply.seconds, learned.seconds);
  EXPECT_EQ(statistic(reply.statistics, "policy/loss"), 2.0);
}

TEST(Trainer, TwoRanksShareTheMicroBatchesAndComeToTheSameBits) {
  rank_under_test alone(nullptr);
  const auto all = batches();
  const auto expected = alone.learn(all);
  const std::string expected_weights = alone.weights_after_update();
  std::array<int64_t, 2> tokens{};
  test::as_local_ranks(2, [&](engine::world& here) {
    rank_under_test one(here.open("gradients"));
    const auto learned = one.learn(all);
    tokens[static_cast<size_t>(here.rank())] = learned.tokens;
    EXPECT_EQ(one.indices.size(), 2U);
    EXPECT_EQ(learned.sums.nll_nats, expected.sums.nll_nats);
    EXPECT_EQ(learned.sums.weighted_loss, expected.sums.weighted_loss);
    EXPECT_TRUE(one.weights_after_update() == expected_weights);
  });
  EXPECT_GT(tokens[0], 0);
  EXPECT_GT(tokens[1], 0);
  EXPECT_EQ(tokens[0] + tokens[1], tokens_in_all);
}

TEST(Trainer, EachMicroBatchIsASignOfLifeOfItsRole) {
  rank_under_test one(nullptr);
  const pulse& signs = one.on->pulse_of(role::policy);
  const char* meanwhile = nullptr;
  const auto all = batches();
  const uint64_t before = signs.count();
  one.training.accumulate<engine::lm_statistics>(operation, list_of(all),
                                                 [&](context&, const engine::trainee&, size_t) {
                                                   meanwhile = signs.operation();
                                                   return engine::lm_statistics{};
                                                 });
  EXPECT_STREQ(meanwhile, operation);
  EXPECT_EQ(signs.operation(), nullptr);
  EXPECT_GE(signs.count(), before + all.size());
}

TEST(Trainer, ModelInUseIsRefusedAndAFailureEndsTheTurn) {
  rank_under_test one(nullptr);
  const auto all = batches();
  {
    const turn other(one.trained->turns, "checkpoint copy");
    EXPECT_NE(test::refusal([&] { one.learn(all); }).find("\"checkpoint copy\""), std::string::npos);
  }
  EXPECT_EQ(test::refusal([&] {
              one.training.accumulate<engine::lm_statistics>(
                  operation, list_of(all), [](context&, const engine::trainee&, size_t) -> engine::lm_statistics {
                    throw error(errc::bad_argument, "a bad objective");
                  });
            }),
            "a bad objective");
  one.trained->learner->discard();
  EXPECT_EQ(one.learn(all).tokens, tokens_in_all);
}

TEST(Trainer, EvaluationIsTheSameOnEveryRankAndLearnsNothing) {
  const auto all = batches();
  const auto log_probs = [](context& ctx, const engine::transformer& net, const engine::weights_view& weights,
                            const engine::packed_batch& batch) {
    return engine::answer_log_probs(ctx, net, weights, batch, 1.0F);
  };
  rank_under_test alone(nullptr);
  const auto expected = alone.training.evaluate<float>("held-out perplexity", all, log_probs).by_batch;
  ASSERT_EQ(expected.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(expected[i].size(), static_cast<size_t>(all[i].tokens() - 1));
  }
  EXPECT_NO_THROW(alone.trained->learner->begin(1)) << "nothing was accumulated";
  test::as_local_ranks(2, [&](engine::world& here) {
    rank_under_test one(here.open("gradients"));
    EXPECT_EQ(one.training.evaluate<float>("held-out perplexity", all, log_probs).by_batch, expected);
  });
}

}  // namespace
}  // namespace troupe::actors
