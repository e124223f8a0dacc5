// Ranks that generate one model together, each with a card: the tokens and log-probabilities are those of one card
// alone.
#include "engine/card/card_model.hpp"
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
      context host{card.pool};
      column_model part(model.net, w.open("columns"));
      part.fill(host, model.weights.data(), nullptr);
      card_weights sent(part.net(), type, "policy weights");
      const const_reals weights = sent.begin_use(card.ctx, part.weights()).data;
      generator g(part.net(), weights, narrow, card.ctx.on);
      SCOPED_TRACE(fmt::format("{}, rank {} of {}", to_string(type), w.rank(), ranks));
      test::expect_equal(generate_all(card.ctx, g, requests()), expected);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ColumnsOnCards,
                         testing::Values("tiny/opt", "tiny/opt_postln", "tiny/gpt2", "tiny/llama3", "tiny/gpt_neox",
                                         "tiny/bloom", "tiny/qwen3"),
                         [](const auto& tested) { return std::string(tested.param).substr(5); });

}  // namespace
}  // namespace troupe::engine
