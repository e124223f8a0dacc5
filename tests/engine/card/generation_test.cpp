// Generation on an emulated card: each token's log-probability is that which scoring gives, to the last bit, whatever
// ran beside it.
#include "engine/card/card_model.hpp"
#include "engine/generate/generator.hpp"
#include "engine/train/scoring.hpp"
#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace troupe::engine {
namespace {

struct card_case {
  const char* model;
  dtype type;
};

class GenerationOnACard : public testing::TestWithParam<card_case> {
protected:
  /// Requests of one and of several samples, with all that bends a distribution.
  std::vector<generation_request> requests() const {
    const auto vocabulary = static_cast<int32_t>(model_.description().vocabulary);
    std::vector<generation_request> all;
    for (uint64_t r = 0; r < 6; ++r) {
      generation_request request;
      request.sequence_ids = r % 2 == 0 ? std::vector<uint64_t>{10 * r} : std::vector<uint64_t>{10 * r, 10 * r + 1};
      for (uint64_t i = 0; i <= 3 * r; ++i) {
        request.prompt.push_back(static_cast<int32_t>((7 + 31 * r + 13 * i) % static_cast<uint64_t>(vocabulary)));
      }
      request.max_new_tokens = 6;
      request.seed = 5;
      request.sampling.temperature = r == 2 ? 0.0F : 0.8F;
      request.sampling.top_k = r == 3 ? 20 : 0;
      request.sampling.top_p = r == 4 ? 0.9F : 1.0F;
      request.sampling.repetition_penalty = r == 5 ? 1.2F : 1.0F;
      all.push_back(std::move(request));
    }
    return all;
  }

  std::vector<generated_sequence> generate(context& ctx, const_reals weights, const generator_settings& settings,
                                           std::vector<generation_request> all) {
    generator from(model_.net, weights, settings, ctx.on);
    return generate_all(ctx, from, std::move(all));
  }

  test::loaded_model model_ = test::load_model(GetParam().model);
};

std::vector<card_case> cases() {
  std::vector<card_case> all;
  for (const char* model : {"tiny/bloom", "tiny/gpt2", "tiny/gpt_neox", "tiny/llama3", "tiny/opt", "tiny/opt_postln",
                            "tiny/phi3", "tiny/qwen2", "tiny/qwen3"}) {
    all.push_back({model, dtype::f32});
    all.push_back({model, dtype::bf16});
  }
  return all;
}

TEST_P(GenerationOnACard, SaysWhatScoringSaysToTheLastBit) {
  test::emulated_context card(emulation::thread_order::shuffled);
  const test::model_on_card there(card.ctx, model_, GetParam().type);
  const std::vector<generation_request> all = requests();
  const std::vector<generated_sequence> answers =
      generate(card.ctx, there.weights(), {.cache_pages = 16, .step_tokens = 24}, all);
  ASSERT_EQ(answers.size(), 9U);
  int64_t compared = 0;
  for (const generated_sequence& answer : answers) {
    const generation_request& of = all[answer.sequence_id / 10];
    packed_batch batch;
    batch.add(of.prompt, answer.ids);
    const std::vector<float> scored =
        answer_log_probs(card.ctx, model_.net, there.weights(), batch, of.sampling.temperature);
    EXPECT_EQ(test::bits(answer.logprobs), test::bits(scored)) << "sequence " << answer.sequence_id;
    compared += static_cast<int64_t>(scored.size());
  }
  EXPECT_GT(compared, 30);
}

class GenerationInCompany : public GenerationOnACard {};

/// Alone or together, in small steps or large, with pages for all or so few that some have to give way.
TEST_P(GenerationInCompany, DoesNotDependOnWhatRunsBesideIt) {
  test::emulated_context card;
  const test::model_on_card there(card.ctx, model_, GetParam().type);
  const auto together = generate(card.ctx, there.weights(), {.cache_pages = 16, .step_tokens = 64}, requests());
  const auto cramped = generate(card.ctx, there.weights(), {.cache_pages = 3, .step_tokens = 5}, requests());
  std::vector<generated_sequence> alone;
  for (generation_request& request : requests()) {
    for (generated_sequence& answer :
         generate(card.ctx, there.weights(), {.cache_pages = 4, .step_tokens = 64}, {std::move(request)})) {
      alone.push_back(std::move(answer));
    }
  }
  for (const auto& other : {cramped, alone}) {
    ASSERT_EQ(other.size(), together.size());
    for (size_t i = 0; i < together.size(); ++i) {
      EXPECT_EQ(other[i].ids, together[i].ids) << i;
      EXPECT_EQ(test::bits(other[i].logprobs), test::bits(together[i].logprobs)) << i;
    }
  }
}

TEST_P(GenerationInCompany, NamesTheSequenceWhoseLogitsAreNotFinite) {
  model_.weights.data()[model_.net.layout().at("layers.0.attention.qkv.weight").offset] =
      std::numeric_limits<float>::quiet_NaN();
  test::emulated_context card;
  const test::model_on_card there(card.ctx, model_, GetParam().type);
  generation_request request;
  request.sequence_ids = {17};
  request.prompt = {1, 2, 3};
  request.max_new_tokens = 2;
  test::expect_error(errc::not_finite, "sequence 17 are not finite", [&] {
    generate(card.ctx, there.weights(), {.cache_pages = 4, .step_tokens = 64}, {std::move(request)});
  });
}

std::string case_name(const testing::TestParamInfo<card_case>& info) {
  return std::string(info.param.model).substr(5) + "_" + to_string(info.param.type);
}

INSTANTIATE_TEST_SUITE_P(Families, GenerationOnACard, testing::ValuesIn(cases()), case_name);
// Grouped heads that turn, slopes, and learned positions.
INSTANTIATE_TEST_SUITE_P(Some, GenerationInCompany,
                         testing::Values(card_case{"tiny/llama3", dtype::bf16}, card_case{"tiny/bloom", dtype::bf16},
                                         card_case{"tiny/opt", dtype::f32}),
                         case_name);

}  // namespace
}  // namespace troupe::engine
