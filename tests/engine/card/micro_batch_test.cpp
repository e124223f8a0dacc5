// The objectives on an emulated card: each model's micro-batch, there and on the host.
#include "engine/card/card_model.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

/// Four sequences with their answers; the first two and the last two are pairs.
packed_batch small_batch() {
  packed_batch batch;
  batch.add(std::vector<int32_t>{3, 17, 39, 0, 8, 8, 21}, 3);
  batch.add(std::vector<int32_t>{3, 17, 39, 5}, 3);
  batch.add(std::vector<int32_t>{30, 12, 1, 17, 60}, 1);
  batch.add(std::vector<int32_t>{30, 44, 2, 9, 9, 10}, 1);
  return batch;
}

class ObjectivesOnACard : public testing::TestWithParam<dtype> {
protected:
  dtype type() const { return GetParam(); }
  double limit() const { return type() == dtype::bf16 ? 3e-3 : 1e-9; }
  /// Of a sum that is told to the user, relative.
  double tolerance() const { return type() == dtype::bf16 ? 2e-2 : 1e-5; }

  struct learned {
    std::vector<double> told;
    std::vector<float> gradients;
  };
  /// What an objective tells.
  using objective = std::function<std::vector<double>(context&, const trainee&)>;

  learned learn(context& ctx, const test::loaded_model& model, const_reals weights, const objective& run) {
    const test::gradient_arena gradients(ctx, model.net.layout());
    train_workspace scratch;
    learned out;
    out.told = run(ctx, {model.net, weights_view(weights), gradients.data(), scratch});
    out.gradients = gradients.values(ctx);
    return out;
  }

  void expect_as_on_host(bool scalar_head, const objective& run) {
    const test::loaded_model model = test::load_model("tiny/llama", scalar_head);
    const aligned_buffer<float> weights = test::rounded_weights(model, type());
    const learned on_host = learn(host_, model, weights.data(), run);
    test::emulated_context card(emulation::thread_order::shuffled);
    const test::model_on_card there(card.ctx, model, type());
    const learned on_card = learn(card.ctx, model, there.weights(), run);
    ASSERT_EQ(on_card.told.size(), on_host.told.size());
    for (size_t i = 0; i < on_host.told.size(); ++i) {
      EXPECT_NEAR(on_card.told[i], on_host.told[i], tolerance() * (1 + std::abs(on_host.told[i]))) << i;
    }
    test::expect_near_by_parameter(model.net.layout(), on_card.gradients, on_host.gradients, limit());
  }

  packed_batch batch_ = small_batch();
  size_t answers_ = 4 + 1 + 4 + 5;
  thread_pool pool_{2};
  context host_{pool_};
};

TEST_P(ObjectivesOnACard, Supervised) {
  expect_as_on_host(false, [&](context& ctx, const trainee& model) {
    const lm_statistics s = sft_micro_batch(ctx, model, batch_, {.tokens = static_cast<double>(answers_)});
    return std::vector<double>{s.weighted_loss, s.nll_nats};
  });
}

TEST_P(ObjectivesOnACard, Policy) {
  const std::vector<float> old = test::random_values(static_cast<int64_t>(answers_), 3, 0.5);
  const std::vector<float> reference = test::random_values(static_cast<int64_t>(answers_), 4, 0.5);
  const std::vector<float> advantage = test::random_values(static_cast<int64_t>(answers_), 5);
  std::vector<double> weight(answers_, 1.0 / static_cast<double>(answers_));
  weight[2] = 0;
  expect_as_on_host(false, [&](context& ctx, const trainee& model) {
    // Near what the model says itself, so that ratios are near 1.
    std::vector<float> logprob_old = answer_log_probs(ctx, model.net, model.weights, batch_, 0.7F);
    for (size_t i = 0; i < answers_; ++i) {
      logprob_old[i] += old[i];
    }
    std::vector<float> logprob_ref = logprob_old;
    for (size_t i = 0; i < answers_; ++i) {
      logprob_ref[i] += reference[i];
    }
    const policy_statistics s =
        policy_micro_batch(ctx, model, batch_, {.entropy_coefficient = 0.01, .kl_coefficient = 0.1},
                           {.logprob_old_A = logprob_old,
                            .logprob_ref_A = logprob_ref,
                            .advantage_A = advantage,
                            .weight_A = weight,
                            .temperature = 0.7F});
    return std::vector<double>{s.loss};
  });
}

TEST_P(ObjectivesOnACard, Reward) {
  expect_as_on_host(true, [&](context& ctx, const trainee& model) {
    const pair_statistics s = reward_micro_batch(ctx, model, batch_, {.centring = 0.1}, 2.0);
    return std::vector<double>{s.loss, s.margin, s.chosen_score};
  });
}

TEST_P(ObjectivesOnACard, Critic) {
  const std::vector<float> old = test::random_values(static_cast<int64_t>(answers_), 6, 0.1);
  const std::vector<float> returns = test::random_values(static_cast<int64_t>(answers_), 7);
  const std::vector<double> weight(answers_, 1.0 / static_cast<double>(answers_));
  expect_as_on_host(true, [&](context& ctx, const trainee& model) {
    const value_statistics s = critic_micro_batch(ctx, model, batch_, {.clip = 0},
                                                  {.value_old_A = old, .return_A = returns, .weight_A = weight});
    return std::vector<double>{s.loss};
  });
}

/// From the first call of forward to the last of backward.
TEST_P(ObjectivesOnACard, TheHostDoesNotWaitForTheCardInAPassOfALanguageModel) {
  const test::loaded_model model = test::load_model("tiny/llama");
  const auto card = emulation::make_card({.late = true});
  context ctx{pool_, card.get()};
  const test::model_on_card there(ctx, model, type());
  const test::gradient_arena gradients(ctx, model.net.layout());
  const std::vector<float> logprob_old(answers_, -4), advantage(answers_, 1);
  const std::vector<double> weight(answers_, 1.0 / static_cast<double>(answers_));
  train_workspace scratch;
  mark begins = 0;
  int64_t done = 0;
  const auto pass = [&](const std::function<void(int64_t)>& segment_done) {
    policy_micro_batch(ctx, {model.net, weights_view(there.weights()), gradients.data(), scratch, segment_done}, batch_,
                       {}, {.logprob_old_A = logprob_old, .advantage_A = advantage, .weight_A = weight});
  };
  pass({});  // now its memory is there
  card->zero(queue::compute, gradients.data(), sizeof(float));
  begins = card->record(queue::compute);
  pass([&](int64_t /*segment*/) {
    EXPECT_FALSE(card->passed(begins));
    ++done;
  });
  EXPECT_EQ(done, static_cast<int64_t>(model.net.segments().size()));
  EXPECT_TRUE(card->passed(begins));  // what was found is in host memory
}

INSTANTIATE_TEST_SUITE_P(Types, ObjectivesOnACard, testing::Values(dtype::f32, dtype::bf16),
                         [](const auto& info) { return std::string(to_string(info.param)); });

}  // namespace
}  // namespace troupe::engine
