// The policy learns by the kind of the batch that a command names, and one model serves generation and training.
#include "actors/cast/policy.hpp"
#include "support/piece_tokenizer.hpp"
#include "support/refusal.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

namespace troupe::actors {
namespace {

const std::vector<int32_t> prompt_tokens = {3, 5};
const std::vector<int32_t> answer_tokens = {7, 9, 11};

engine::packed_batch one_sequence() {
  engine::packed_batch batch;
  batch.add(prompt_tokens, answer_tokens);
  return batch;
}

batch_handle text(uint64_t id) {
  auto batch = std::make_shared<example_batch>();
  batch->id = id;
  batch->micro_batches = {one_sequence()};
  return {std::move(batch)};
}

/// Whose log-probabilities at sampling were `logprob` each.
minibatch_handle experience(uint64_t id, float logprob, bool fresh = false) {
  auto batch = std::make_shared<minibatch>();
  batch->id = id;
  batch->fresh = fresh;
  minibatch::part& part = batch->parts.emplace_back();
  part.packed = one_sequence();
  part.logprob_old_A = std::vector<float>(answer_tokens.size(), logprob);
  part.logprob_ref_A = part.logprob_old_A;
  part.advantage_A = {1, -1, 1};
  part.weight_A = part.policy_weight_A = {1.0 / 3, 1.0 / 3, 1.0 / 3};
  return {std::move(batch)};
}

class Policy : public ::testing::Test {
protected:
  Policy() {
    trained_->of = load_model(test_data() + "/tiny/gpt2", head_kind::language_model);
    trained_->learner = std::make_unique<engine::learner>(trained_->of->net, engine::learner_settings{});
    policy_.open({.on = std::make_shared<device>(1), .trained = trained_});
  }
  void TearDown() override { trained_->learner->discard(); }

  trained_model_ptr trained_ = std::make_shared<trained_model>();
  policy_state policy_;
};

TEST_F(Policy, KindOfTheBatchDecidesWhatIsLearned) {
  const uint64_t text_id = make_batch_id(serving::training, 0);
  const uint64_t experience_id = make_minibatch_id(0, 0);
  policy_.keep(text(text_id));
  policy_.keep(experience(experience_id, -6));
  const statistics of_text = policy_.train({.batch_id = text_id, .loss_terms = 3}).statistics;
  EXPECT_TRUE(of_text.contains("policy/loss"));
  EXPECT_FALSE(of_text.contains("policy/ratio_mean"));
  trained_->learner->discard();
  const statistics of_experience = policy_.train({.batch_id = experience_id, .loss_terms = 3}).statistics;
  EXPECT_TRUE(of_experience.contains("policy/ratio_mean"));
  EXPECT_FALSE(of_experience.contains("mixture/loss"));
}

TEST_F(Policy, TextIsMixedInWhereTheCommandSaysSo) {
  const uint64_t text_id = make_batch_id(serving::mixture, 0);
  policy_.keep(text(text_id));
  policy_.keep(experience(make_minibatch_id(0, 0), -6));
  const train_reply reply = policy_.train({.batch_id = make_minibatch_id(0, 0),
                                           .loss_terms = 3,
                                           .mixture_batch_id = text_id,
                                           .mixture_loss_terms = 3,
                                           .mixture_coefficient = 0.5});
  EXPECT_TRUE(reply.statistics.contains("mixture/loss"));
  EXPECT_EQ(reply.tokens, 2 * one_sequence().tokens());
}

TEST_F(Policy, BatchesThatWereNotServedAreRefusedByTheirKind) {
  policy_.keep(text(make_batch_id(serving::training, 0)));
  test::refusal([&] { policy_.train({.batch_id = make_minibatch_id(0, 0)}); });
  test::refusal([&] { policy_.train({.batch_id = make_batch_id(serving::training, 1)}); });
}

TEST_F(Policy, FreshExperienceMustHaveTheLogProbsOfTraining) {
  policy_.keep(experience(make_minibatch_id(0, 0), -6, true));
  try {
    policy_.train({.batch_id = make_minibatch_id(0, 0), .loss_terms = 3});
    ADD_FAILURE() << "log-probabilities that no model gave were accepted";
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), errc::not_exact);
    EXPECT_NE(std::string(failure.what()).find("3 of 3 log-probabilities"), std::string::npos) << failure.what();
  }
}

TEST_F(Policy, PerplexityIsOfTheAnswerTokens) {
  const uint64_t id = make_batch_id(serving::held_out, 0);
  policy_.keep(text(id));
  const train_reply reply = policy_.evaluate({.batch_id = id});
  EXPECT_EQ(reply.tokens, static_cast<int64_t>(answer_tokens.size()));
  EXPECT_NEAR(std::log(statistic(reply.statistics, "held_out/perplexity")),
              statistic(reply.statistics, "held_out/loss"), 1e-9);
}

TEST_F(Policy, PhaseWithoutRolloutsRefusesToGenerate) {
  EXPECT_EQ(test::refusal([&] { policy_.generate({.batch_id = 1, .steps = 1}); }),
            "nothing is rolled out in this phase");
}

TEST_F(Policy, CommandsDoNotOverlap) {
  const uint64_t id = make_batch_id(serving::training, 0);
  policy_.keep(text(id));
  const turn optimizer(trained_->turns, "optimizer step");
  test::refusal([&] { policy_.train({.batch_id = id, .loss_terms = 3}); });
}

}  // namespace
}  // namespace troupe::actors
