// Whole models on an emulated card: the engine's own passes, there and on the host, of every family.
#include "engine/card/card_model.hpp"
#include "engine/generate/kv_cache.hpp"
#include "engine/models/page_tables.hpp"
#include "engine/models/transformer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace troupe::engine {
namespace {

using emulation::thread_order;
using test::loaded_model;

/// Fourteen tokens in four sequences, one of them empty.
struct small_batch {
  std::vector<int32_t> token_N{3, 17, 39, 0, 8, 8, 21, 5, 30, 12, 1, 17, 60, 2};
  std::vector<int64_t> offset_B1{0, 7, 7, 8, 14};
  token_batch view() const { return {.token_N = token_N, .offset_B1 = offset_B1, .position_N = {}}; }
};

struct card_case {
  const char* model;
  dtype type;
};

std::vector<card_case> card_models() {
  std::vector<card_case> cases;
  for (const char* model : {"tiny/bloom", "tiny/gpt2", "tiny/gpt_neox", "tiny/llama3", "tiny/opt", "tiny/opt_postln",
                            "tiny/phi3", "tiny/qwen2", "tiny/qwen3", "stories260k"}) {
    cases.push_back({model, dtype::f32});
    cases.push_back({model, dtype::bf16});
  }
  return cases;
}

class ModelsOnACard : public testing::TestWithParam<card_case> {
protected:
  /// Of the sum of squares against the host's, whose activations are float32.
  double limit() const { return GetParam().type == dtype::bf16 ? 1e-3 : 1e-10; }

  std::vector<float> dhidden() const { return test::random_values(batch_.view().tokens() * width(), 5); }
  int64_t width() const { return model_.description().embedding_width; }

  struct passed {
    std::vector<float> hidden_ND, gradients;
  };

  passed pass(context& ctx, const_reals weights, dtype activations, bool checkpointing = false) {
    const int64_t count = batch_.view().tokens() * width();
    buffer hidden;
    buffer dhidden_ND;
    hidden.room(ctx, activations, count);
    dhidden_ND.room(ctx, activations, count);
    send(ctx, dhidden(), dhidden_ND.data());
    const test::gradient_arena gradients(ctx, model_.net.layout());
    saved_activations saved(checkpointing);
    model_.net.forward(ctx, weights, batch_.view(), hidden.data(), saved);
    passed out{.hidden_ND = test::fetched(ctx, hidden.data(), count), .gradients = {}};
    model_.net.backward(ctx, weights, batch_.view(), saved, dhidden_ND.data(), gradients.data());
    out.gradients = gradients.values(ctx);
    return out;
  }

  passed pass_on_card(thread_order order, bool checkpointing = false) {
    test::emulated_context card(order);
    const test::model_on_card there(card.ctx, model_, GetParam().type);
    return pass(card.ctx, there.weights(), GetParam().type, checkpointing);
  }

  loaded_model model_ = test::load_model(GetParam().model);
  small_batch batch_;
  thread_pool pool_{2};
  context host_{pool_};
};

TEST_P(ModelsOnACard, SayOfAPromptInPiecesWhatTheySayOfTheWhole) {
  test::emulated_context card(thread_order::falling);
  const test::model_on_card there(card.ctx, model_, GetParam().type);
  const int64_t count = batch_.view().tokens() * width();
  buffer whole;
  model_.net.forward(card.ctx, there.weights(), batch_.view(), whole.room(card.ctx, GetParam().type, count));

  kv_cache cache(model_.description(), 8, card.card.get(), GetParam().type);
  std::vector<std::vector<int32_t>> pages;
  for (size_t b = 0; b + 1 < batch_.offset_B1.size(); ++b) {
    pages.push_back({*cache.acquire()});
  }
  // Three tokens of each sequence at a time.
  std::vector<float> got(static_cast<size_t>(count));
  buffer part;
  for (int64_t done = 0; done < 7; done += 3) {
    page_tables call;
    std::vector<int32_t> token_N;
    std::vector<int64_t> source;
    for (size_t b = 0; b + 1 < batch_.offset_B1.size(); ++b) {
      const int64_t begin = std::min(batch_.offset_B1[b] + done, batch_.offset_B1[b + 1]);
      const int64_t end = std::min(begin + 3, batch_.offset_B1[b + 1]);
      call.add(pages[b], end - begin, done);
      for (int64_t row = begin; row < end; ++row) {
        token_N.push_back(batch_.token_N[static_cast<size_t>(row)]);
        source.push_back(row);
      }
    }
    const auto rows = static_cast<int64_t>(source.size());
    const reals hidden = part.room(card.ctx, GetParam().type, rows * width());
    model_.net.extend(card.ctx, there.weights(), {token_N, call.map(), cache.layers()}, hidden);
    const std::vector<float> found = test::fetched(card.ctx, hidden, rows * width());
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(found.begin() + row * width(), width(), got.begin() + source[static_cast<size_t>(row)] * width());
    }
  }
  EXPECT_EQ(test::bits(got), test::bits(test::fetched(card.ctx, whole.data(), count)));

  const aligned_buffer<float> weights = test::rounded_weights(model_, GetParam().type);
  const std::vector<float> on_host = test::hidden_of(host_, model_.net, weights.data(), batch_.view());
  EXPECT_LT(test::relative_error(got, test::to_double(on_host)), limit());
}

TEST_P(ModelsOnACard, ComputeWhatTheHostDoes) {
  const aligned_buffer<float> weights = test::rounded_weights(model_, GetParam().type);
  const passed on_host = pass(host_, weights.data(), dtype::f32);
  const passed on_card = pass_on_card(thread_order::rising);
  EXPECT_LT(test::relative_error(on_card.hidden_ND, test::to_double(on_host.hidden_ND)), limit());
  test::expect_near_by_parameter(model_.net.layout(), on_card.gradients, on_host.gradients, 30 * limit());
}

TEST_P(ModelsOnACard, DoNotDependOnTheOrderOfThreadsNorOnCheckpointing) {
  const passed one = pass_on_card(thread_order::rising);
  const passed other = pass_on_card(thread_order::shuffled, true);
  EXPECT_EQ(test::bits(one.hidden_ND), test::bits(other.hidden_ND));
  EXPECT_EQ(test::bits(one.gradients), test::bits(other.gradients));
}

INSTANTIATE_TEST_SUITE_P(Families, ModelsOnACard, testing::ValuesIn(card_models()), [](const auto& info) {
  std::string name = std::string(info.param.model) + "_" + to_string(info.param.type);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
});

}  // namespace
}  // namespace troupe::engine
