/// Random models, requests, chunks, page budgets and packings on an emulated card: the log-probability of each drawn
/// token is the one that scoring gives, to the last bit.
#include "engine/card/card_model.hpp"
#include "support/dice.hpp"
#include "support/emulation/card_test.hpp"
#include "support/exact_rollout.hpp"
#include "support/random_model.hpp"

#include <gtest/gtest.h>

#include <cstdio>

namespace troupe::test {
namespace {

constexpr int64_t wanted_tokens = 10'000;

small_shape draw_shape(dice& by) {
  small_shape shape;
  shape.vocabulary = by.between(20, 150);
  shape.layers = by.one_of<int64_t>({1, 1, 2});
  shape.kv_heads = by.between(1, 2);
  shape.heads = shape.kv_heads * by.between(1, 2);
  shape.head_width = by.one_of<int64_t>({8, 16, 24});
  shape.feed_forward = by.between(8, 48);
  return shape;
}

TEST(ExactnessOnACard, TenThousandDrawnTokensSayWhatScoringSays) {
  const std::vector<model_variant> variants = model_variants();
  exactness all;
  size_t models = 0;
  while (all.tokens < wanted_tokens || models < 2 * variants.size()) {
    const uint64_t seed = models;
    const model_variant& variant = variants[models / 2 % variants.size()];
    const dtype type = models % 2 == 0 ? dtype::bf16 : dtype::f32;
    dice by(seed);
    const random_model model = make_random_model(describe_small(variant, draw_shape(by)), seed);
    thread_pool pool(1);
    // In half of them work is done as late as it is waited for.
    const auto card =
        emulation::make_card({.threads = {.order = thread_orders[models % 3], .seed = 7}, .late = models / 2 % 2 == 1});
    context ctx{pool, card.get()};
    const model_on_card there(ctx, model, type);
    const random_rollout rollout = draw_rollout(
        model.net.description(), {.least_requests = 8, .requests = 16, .answer = 16, .step_tokens = 100}, seed);
    const exactness one = measure_exactness(ctx, model.net, there.weights(), there.weights(), rollout, 200, seed);
    EXPECT_EQ(one.different, 0) << variant.name << " in " << to_string(type) << ", model " << models << ": "
                                << one.first_difference;
    all.add(one);
    ++models;
  }
  std::printf("%ld tokens of %ld answers by %zu models, drawn in %ld calls and scored in %ld: %ld differ. %ld answers "
              "went on from another's prompt, %ld times one gave way.\n",
              all.tokens, all.sequences, models, all.steps, all.passes, all.different, all.shared, all.preemptions);
  emulation::note_tokens(all.tokens, all.different);
  EXPECT_GE(all.tokens, wanted_tokens);
  EXPECT_GT(all.preemptions, 5);
  EXPECT_GT(all.shared, 100);
}

TEST(ExactnessOnACard, OtherWeightsAreFoundToDiffer) {
  random_model model = make_random_model(describe_small(model_variants().front(), {}), 3);
  emulated_context card;
  const model_on_card drawing(card.ctx, model, dtype::bf16);
  model.weights[model.net.layout().at("layers.1.attention.out.weight").offset] += 0.1F;
  const model_on_card scoring(card.ctx, model, dtype::bf16);
  const random_rollout rollout = draw_rollout(model.net.description(), {.answer = 20}, 3);
  const exactness found = measure_exactness(card.ctx, model.net, drawing.weights(), scoring.weights(), rollout, 100, 3);
  EXPECT_GT(found.different, found.tokens / 2);
  EXPECT_NE(found.first_difference, "");
}

}  // namespace
}  // namespace troupe::test
