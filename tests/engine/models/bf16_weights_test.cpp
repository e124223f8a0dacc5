// Whole models over weights in bfloat16 against the same values in float32: every bit the same.
#include "engine/generate/generator.hpp"
#include "engine/tensor_parallel/column_model.hpp"
#include "engine/train/micro_batch.hpp"
#include "engine/train/scoring.hpp"
#include "support/generation.hpp"
#include "support/local_ranks.hpp"
#include "support/model_fixture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

using test::prompt_of;
using test::request_of;

/// A model's weights rounded, in both types.
struct both_types {
  test::loaded_model model;
  std::vector<bf16> narrow;
  std::vector<float> wide;

  both_types(const std::string& folder, bool scalar_head) : model(test::load_model(folder, scalar_head)) {
    // As a full vector load at the end of an arena reads on.
    narrow.resize(static_cast<size_t>(model.weights.size()) + 32);
    wide.resize(narrow.size());
    for (int64_t i = 0; i < model.weights.size(); ++i) {
      const auto at = static_cast<size_t>(i);
      narrow[at] = to_bf16(model.weights.data()[i]);
      wide[at] = to_float(narrow[at]);
    }
  }
  const transformer& net() const { return model.net; }
};

packed_batch text(int64_t vocabulary) {
  packed_batch batch;
  for (const int32_t length : {1, 9, 33}) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < length; ++i) {
      tokens.push_back((7 * i + length) % static_cast<int32_t>(vocabulary));
    }
    batch.add(tokens, 1);
  }
  return batch;
}

/// What a training step leaves behind.
struct lesson {
  double loss = 0;
  std::vector<float> gradients;
  bool operator==(const lesson&) const = default;
};

class Bf16Weights : public testing::TestWithParam<const char*> {
protected:
  lesson learn(const transformer& net, const weights_view& weights, bool checkpointing) {
    train_workspace workspace(checkpointing);
    lesson result;
    result.gradients.resize(static_cast<size_t>(net.layout().arena_size()));
    const trainee to{net, weights, result.gradients.data(), workspace};
    packed_batch batch = text(net.description().vocabulary);
    if (net.description().scalar_head) {
      batch = {};
      for (const int32_t first : {1, 2, 3, 4}) {
        batch.add(std::vector<int32_t>{first, 5, 6, first + 1}, 1);
      }
      result.loss = reward_micro_batch(ctx_, to, batch, {}, 2).loss;
    } else {
      result.loss = sft_micro_batch(ctx_, to, batch, {40.0, 1.0}).nll_nats;
    }
    return result;
  }

  std::vector<generated_sequence> generate(const inference_model& net, const_reals weights) {
    generator g(net, weights, {.cache_pages = 8, .step_tokens = 48});
    return generate_all(ctx_, g, {request_of({10}, prompt_of(1, 1), 20), request_of({20, 21}, prompt_of(40, 2), 12)});
  }

  thread_pool pool_{2};
  context ctx_{pool_};
};

TEST_P(Bf16Weights, ForwardAndLogProbabilitiesHaveTheBitsOfTheirValues) {
  const both_types m(std::string("tiny/") + GetParam(), false);
  const packed_batch batch = text(m.net().description().vocabulary);
  const auto logprobs = answer_log_probs(ctx_, m.net(), m.narrow.data(), batch, 0.7F);
  EXPECT_EQ(logprobs, answer_log_probs(ctx_, m.net(), m.wide.data(), batch, 0.7F));
  const bool stored_in_bf16 = std::string(GetParam()) == "qwen2";
  EXPECT_EQ(logprobs == answer_log_probs(ctx_, m.net(), m.model.weights.data(), batch, 0.7F), stored_in_bf16);
}

TEST_P(Bf16Weights, GradientsHaveTheBitsOfTheirValues) {
  const std::string folder = GetParam();
  for (const bool scalar_head : {false, true}) {
    if (scalar_head && folder != "opt" && folder != "llama") {
      continue;  // the others have none
    }
    const both_types m("tiny/" + folder, scalar_head);
    for (const bool checkpointing : {false, true}) {
      const lesson learned = learn(m.net(), m.narrow.data(), checkpointing);
      EXPECT_EQ(learned, learn(m.net(), m.wide.data(), checkpointing));
      EXPECT_GT(learned.loss, 0);
    }
  }
}

TEST_P(Bf16Weights, GenerationHasTheBitsOfTheirValues) {
  const both_types m(std::string("tiny/") + GetParam(), false);
  const auto expected = generate(m.net(), m.wide.data());
  test::expect_equal(generate(m.net(), m.narrow.data()), expected);
  test::as_local_ranks(2, [&](world& w) {
    thread_pool pool{1};
    context ctx{pool};
    column_model part(m.net(), w.open("columns"), dtype::bf16);
    EXPECT_EQ(part.bytes(), part.net().layout().arena_size() * 2);
    part.fill(ctx, m.narrow.data(), nullptr);
    generator g(part.net(), part.weights(), {.cache_pages = 8, .step_tokens = 48});
    test::expect_equal(
        generate_all(ctx, g, {request_of({10}, prompt_of(1, 1), 20), request_of({20, 21}, prompt_of(40, 2), 12)}),
        expected);
  });
}

TEST_P(Bf16Weights, ParametersAreReadAndWrittenRounded) {
  const both_types m(std::string("tiny/") + GetParam(), false);
  std::vector<bf16> arena(m.narrow.size());
  for (const parameter& p : m.net().layout().all()) {
    const std::vector<float> values = read_parameter(p, m.model.weights.data());
    write_parameter(p, values, arena.data());
    const std::vector<float> rounded = read_parameter(p, arena.data());
    EXPECT_EQ(rounded, read_parameter(p, m.wide.data())) << p.name;
  }
  const auto same = [](bf16 a, bf16 b) { return a.bits == b.bits; };
  EXPECT_TRUE(std::equal(arena.begin(), arena.end(), m.narrow.begin(), same));
}

INSTANTIATE_TEST_SUITE_P(Families, Bf16Weights,
                         testing::Values("opt", "opt_postln", "gpt2", "llama", "llama3", "qwen2", "qwen3", "gpt_neox",
                                         "bloom", "phi3"));

}  // namespace
}  // namespace troupe::engine
