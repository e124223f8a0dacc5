/// Backward against central differences of the forward: an oracle that knows no formula, for the
/// combinations of settings that no fixture has.
#include "base/random.hpp"
#include "base/thread_pool.hpp"
#include "engine/models/transformer.hpp"
#include "support/model_fixture.hpp"
#include "support/random_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace troupe::engine {
namespace {

using kernels::activation;

/// Three layers of the smallest sizes at which nothing coincides: 6 query heads (no power of two),
/// 2 key heads.
model_description small(norm_kind norm, position_kind position, bool gated, activation act) {
  model_description d;
  d.vocabulary = 40;
  d.width = d.embedding_width = 20;
  d.layers = 3;
  d.heads = 6;
  d.kv_heads = 2;
  d.head_width = 8;
  d.feed_forward = 37;
  d.max_positions = 24;
  d.norm = norm;
  d.position = position;
  d.rotary.rotated = 6;
  d.activation = act;
  d.gated = gated;
  d.qkv_bias = d.attention_out_bias = d.feed_forward_bias = true;
  d.tied_head = true;
  return d;
}

struct variant {
  const char* name;
  model_description description;
};

std::vector<variant> variants() {
  std::vector<variant> all;
  all.push_back({"llama_with_every_bias", small(norm_kind::rms, position_kind::rotary, true, activation::silu)});
  all.push_back(
      {"rotary_sequential_gelu", small(norm_kind::layer, position_kind::rotary, false, activation::gelu_erf)});
  all.push_back({"parallel_residual", small(norm_kind::layer, position_kind::rotary, false, activation::gelu_tanh)});
  all.back().description.parallel_residual = true;
  all.push_back({"parallel_residual_gated", small(norm_kind::rms, position_kind::rotary, true, activation::gelu_tanh)});
  all.back().description.parallel_residual = true;
  all.push_back(
      {"alibi_six_heads_embedding_norm", small(norm_kind::layer, position_kind::alibi, false, activation::gelu_tanh)});
  all.back().description.embedding_norm = true;
  all.push_back({"post_norm_projected", small(norm_kind::layer, position_kind::learned, false, activation::gelu_erf)});
  all.back().description.norm_first = false;
  all.back().description.final_norm = false;
  all.back().description.embedding_width = 12;
  all.push_back({"pre_norm_projected_wider", small(norm_kind::layer, position_kind::learned, true, activation::silu)});
  all.back().description.embedding_width = 28;
  all.back().description.position_offset = 2;
  all.push_back({"normed_heads", small(norm_kind::rms, position_kind::rotary, true, activation::silu)});
  all.back().description.head_norm = true;
  return all;
}

class TransformerGradients : public testing::TestWithParam<variant> {
protected:
  static constexpr double step = 1e-3;
  static constexpr double tolerance = 5e-3;  ///< of the gradient's norm: rounding of L over the step is 1e-3

  token_batch batch() const { return {.token_N = token_, .offset_B1 = offset_, .position_N = {}}; }

  /// L = sum of hidden * coefficients.
  double loss(const float* weights) {
    const std::vector<float> hidden = test::hidden_of(ctx_, model_.net, weights, batch());
    double sum = 0;
    for (size_t i = 0; i < hidden.size(); ++i) {
      sum += static_cast<double>(hidden[i]) * static_cast<double>(coefficient(i));
    }
    return sum;
  }

  static float coefficient(size_t i) { return static_cast<float>(random_normal({.seed = 11}, i)); }

  aligned_buffer<float> gradients(bool checkpointing) {
    const auto count = static_cast<size_t>(batch().tokens() * model_.net.description().embedding_width);
    std::vector<float> hidden(count);
    std::vector<float> dhidden(count);
    for (size_t i = 0; i < count; ++i) {
      dhidden[i] = coefficient(i);
    }
    saved_activations saved(checkpointing);
    aligned_buffer<float> out(model_.net.layout().arena_size());
    model_.net.forward(ctx_, model_.weights.data(), batch(), hidden.data(), saved);
    model_.net.backward(ctx_, model_.weights.data(), batch(), saved, dhidden.data(), out.data());
    return out;
  }

  thread_pool pool_{2};
  context ctx_{pool_};
  test::random_model model_ = test::make_random_model(GetParam().description, 5);
  std::vector<int32_t> token_{3, 17, 39, 0, 8, 8, 21, 5, 30, 12, 1, 17};
  std::vector<int64_t> offset_{0, 7, 7, 8, 12};
};

TEST_P(TransformerGradients, MatchCentralDifferencesAlongRandomDirections) {
  const aligned_buffer<float> gradient = gradients(false);
  for (const parameter& p : model_.net.layout().all()) {
    std::vector<float> direction = read_parameter(p, model_.weights.data());
    const std::vector<float> values = direction;
    const std::vector<float> g = read_parameter(p, gradient.data());
    double slope = 0;
    double square = 0;
    for (size_t i = 0; i < direction.size(); ++i) {
      direction[i] = static_cast<float>(random_normal({.seed = 23, .stream = i}, values.size()));
      slope += static_cast<double>(g[i]) * static_cast<double>(direction[i]);
      square += static_cast<double>(g[i]) * static_cast<double>(g[i]);
    }
    const auto loss_at = [&](double t) {
      std::vector<float> moved = values;
      for (size_t i = 0; i < moved.size(); ++i) {
        moved[i] += static_cast<float>(t) * direction[i];
      }
      aligned_buffer<float> weights(model_.weights.size());
      std::copy(model_.weights.begin(), model_.weights.end(), weights.begin());
      write_parameter(p, moved, weights.data());
      return loss(weights.data());
    };
    const double difference = (loss_at(step) - loss_at(-step)) / (2 * step);
    EXPECT_NEAR(slope, difference, tolerance * std::sqrt(square) + 2e-2) << p.name;
  }
}

TEST_P(TransformerGradients, AreTheSameUnderCheckpointing) {
  const aligned_buffer<float> kept = gradients(false);
  const aligned_buffer<float> recomputed = gradients(true);
  EXPECT_TRUE(std::equal(kept.begin(), kept.end(), recomputed.begin(), recomputed.end()));
}

INSTANTIATE_TEST_SUITE_P(Variants, TransformerGradients, testing::ValuesIn(variants()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace troupe::engine
