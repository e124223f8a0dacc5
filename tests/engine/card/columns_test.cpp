// Ranks that generate one model together, each with a card: the tokens and log-probabilities are those of one card
// alone.
#include "engine/card/card_model.hpp"
#include "engine/card/wired_card.hpp"
#include "engine/generate/generator.hpp"
#include "engine/optim/card_weights.hpp"
#include "engine/tensor_parallel/column_model.hpp"
#include "support/generation.hpp"
#include "support/local_ranks.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace troupe::engine {
namespace {

using test::prompt_of;
using test::request_of;

std::vector<generation_request> requests() {
  return {request_of({10}, prompt_of(1, 1), 5), request_of({20, 21}, prompt_of(10, 2), 3),
          request_of({30}, prompt_of(7, 3), 2)};
}

/// Few pages, so that sequences give way and are computed again.
constexpr generator_settings narrow{.cache_pages = 2, .step_tokens = 12};

class ColumnsOnCards : public testing::TestWithParam<const char*> {};

/// On a rank's card, with weights that are sent there.
void expect_drawn(world& w, context& ctx, const test::loaded_model& model, dtype type,
                  const std::vector<generated_sequence>& expected) {
  context host{ctx.pool};
  column_model part(model.net, between_cards(w.open("columns"), ctx.on));
  part.fill(host, model.weights.data(), nullptr);
  card_weights sent(part.net(), type, "policy weights");
  const const_reals weights = sent.begin_use(ctx, part.weights()).data;
  generator g(part.net(), weights, narrow, ctx.on);
  SCOPED_TRACE(fmt::format("{}, rank {} of {}", to_string(type), w.rank(), w.size()));
  test::expect_equal(generate_all(ctx, g, requests()), expected);
}

TEST_P(ColumnsOnCards, TokensAndLogProbabilitiesAreThoseOfOne) {
  const test::loaded_model model = test::load_model(GetParam());
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    test::emulated_context one;
    const test::model_on_card there(one.ctx, model, type);
    generator alone(model.net, there.weights(), narrow, one.ctx.on);
    const auto expected = generate_all(one.ctx, alone, requests());
    const int ranks = type == dtype::f32 ? 3 : 2;
    test::as_local_ranks(ranks, [&](world& w) {
      test::emulated_context card(emulation::thread_order::shuffled);
      expect_drawn(w, card.ctx, model, type, expected);
    });
    const auto network = std::make_shared<emulation::wire_network>();
    test::as_local_ranks(ranks, [&](world& w) {
      test::wired_card card(network, w);
      expect_drawn(w, card.ctx, model, type, expected);
    });
  }
}

/// The part of a model whose weights lie on the card is taken there.
TEST_P(ColumnsOnCards, TakeTheirRowsOnTheCard) {
  const test::loaded_model model = test::load_model(GetParam());
  test::as_local_ranks(3, [&](world& w) {
    test::emulated_context card;
    context host{card.pool};
    const communicator_ptr group = w.open("columns");
    column_model in_memory(model.net, group);
    in_memory.fill(host, model.weights.data(), nullptr);
    const parameter_layout& layout = in_memory.net().layout();
    for (const dtype type : {dtype::f32, dtype::bf16}) {
      const test::model_on_card whole(card.ctx, model, type);
      column_model there(model.net, group, type, {card.ctx.on, "policy weights"});
      for (int fill = 0; fill < 2; ++fill) {
        there.fill(card.ctx, whole.weights(), nullptr);
        aligned_buffer<float> got(layout.arena_size()), expected(layout.arena_size());
        staging through;
        fetch_arena(card.ctx, layout, there.weights(), got.data(), through);
        for (int64_t i = 0; i < expected.size(); ++i) {
          const float value = in_memory.weights().as<float>()[i];
          expected[i] = type == dtype::bf16 ? to_float(to_bf16(value)) : value;
        }
        for (const parameter& p : layout.all()) {
          EXPECT_TRUE(std::equal(got.data() + p.offset, got.data() + p.offset + p.size, expected.data() + p.offset))
              << p.name << " of rank " << w.rank() << ", " << to_string(type);
        }
        there.release();
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Families, ColumnsOnCards,
                         testing::Values("tiny/opt", "tiny/opt_postln", "tiny/gpt2", "tiny/llama3", "tiny/gpt_neox",
                                         "tiny/bloom", "tiny/qwen3"),
                         [](const auto& tested) { return std::string(tested.param).substr(5); });

}  // namespace
}  // namespace troupe::engine
