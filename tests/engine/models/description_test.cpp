#include "base/error.hpp"
#include "engine/models/description.hpp"
#include "engine/models/family.hpp"
#include "io/json/json_keys.hpp"
#include "support/test_data.hpp"

#include <gtest/gtest.h>

namespace troupe::engine {
namespace {

using kernels::activation;

key_map config_of(const std::string& folder) {
  return io::read_json_keys(test_data() + "/tiny/" + folder + "/config.json");
}

/// The text of the error that describing gives; empty where there is none.
std::string refusal(const key_map& config) {
  try {
    describe(config);
  } catch (const error& e) {
    return e.what();
  }
  return "";
}

void expect_refusal(const key_map& config, const std::string& part) {
  EXPECT_NE(refusal(config).find(part), std::string::npos) << "wanted " << part << ", got: " << refusal(config);
}

TEST(DescribeTest, ReadsOpt) {
  const model_description d = describe(config_of("opt"));
  EXPECT_EQ(d.family->type, "opt");
  EXPECT_EQ(d.position, position_kind::learned);
  EXPECT_EQ(d.position_offset, 2);
  EXPECT_EQ(d.activation, activation::relu);
  EXPECT_TRUE(d.norm_first && d.final_norm && d.tied_head && d.qkv_bias);
  EXPECT_FALSE(d.gated || d.scalar_head);
}

TEST(DescribeTest, ReadsOptWithPostNormAndProjection) {
  const model_description d = describe(config_of("opt_postln"));
  EXPECT_FALSE(d.norm_first);
  EXPECT_FALSE(d.final_norm);
  EXPECT_EQ(d.embedding_width, 32);
  EXPECT_EQ(d.width, 64);
}

TEST(DescribeTest, ReadsLlama3Scaling) {
  const model_description d = describe(config_of("llama3"));
  EXPECT_EQ(d.head_width, 24);
  EXPECT_EQ(d.kv_heads, 2);
  EXPECT_EQ(d.rotary.scaling, rotary_scaling::llama3);
  EXPECT_EQ(d.rotary.factor, 8.0);
  EXPECT_EQ(d.rotary.original_positions, 32);
  EXPECT_EQ(d.rotary.rotated, 24);
}

TEST(DescribeTest, ReadsTheRopeParametersOfTransformers5) {
  key_map config = config_of("llama");
  config.erase("rope_theta");
  config["rope_parameters.rope_theta"] = 250000.0;
  config["rope_parameters.rope_type"] = std::string("linear");
  config["rope_parameters.factor"] = 2.0;
  const model_description d = describe(config);
  EXPECT_EQ(d.rotary.theta, 250000.0);
  EXPECT_EQ(d.rotary.scaling, rotary_scaling::linear);
  EXPECT_EQ(d.rotary.factor, 2.0);
}

TEST(DescribeTest, ReadsTheOldSpellingOfTheRopeType) {
  key_map config = config_of("llama");
  config["rope_scaling.type"] = std::string("linear");
  config["rope_scaling.factor"] = int64_t{4};
  EXPECT_EQ(describe(config).rotary.factor, 4.0);
}

TEST(DescribeTest, HonoursTheFlagsOfGptNeoX) {
  key_map config = config_of("gpt_neox");
  EXPECT_EQ(describe(config).rotary.rotated, 4);
  EXPECT_TRUE(describe(config).parallel_residual);
  config["use_parallel_residual"] = false;
  config["rotary_pct"] = 1.0;
  config["attention_bias"] = false;
  config["tie_word_embeddings"] = true;
  const model_description d = describe(config);
  EXPECT_EQ(d.rotary.rotated, 16);
  EXPECT_FALSE(d.parallel_residual || d.qkv_bias || d.attention_out_bias);
  EXPECT_TRUE(d.feed_forward_bias && d.tied_head);
}

TEST(DescribeTest, HonoursTheFlagsOfLlamaAndGpt2) {
  key_map llama = config_of("llama");
  llama["attention_bias"] = true;
  llama["mlp_bias"] = true;
  EXPECT_TRUE(describe(llama).qkv_bias && describe(llama).attention_out_bias && describe(llama).feed_forward_bias);
  key_map gpt2 = config_of("gpt2");
  EXPECT_EQ(describe(gpt2).feed_forward, 256);
  gpt2["n_inner"] = int64_t{100};
  EXPECT_EQ(describe(gpt2).feed_forward, 100);
}

TEST(DescribeTest, ReadsQwen2AndBloom) {
  const model_description qwen2 = describe(config_of("qwen2"));
  EXPECT_TRUE(qwen2.qkv_bias && !qwen2.attention_out_bias && qwen2.tied_head);
  EXPECT_EQ(qwen2.rotary.theta, 1e6);
  const model_description bloom = describe(config_of("bloom"));
  EXPECT_EQ(bloom.position, position_kind::alibi);
  EXPECT_TRUE(bloom.embedding_norm);
  EXPECT_EQ(bloom.feed_forward, 256);
}

TEST(DescribeTest, SetsTheScalarHeadOfSequenceClassification) {
  key_map config = config_of("llama");
  EXPECT_FALSE(describe(config).scalar_head);
  config["architectures.0"] = std::string("LlamaForSequenceClassification");
  config["id2label.0"] = std::string("LABEL_0");
  EXPECT_TRUE(describe(config).scalar_head);
  config["id2label.1"] = std::string("LABEL_1");
  expect_refusal(config, "num_labels = 2");
}

TEST(DescribeTest, RefusesAnActiveSlidingWindowOnly) {
  key_map mistral = config_of("llama");
  mistral["model_type"] = std::string("mistral");
  EXPECT_EQ(describe(mistral).family->type, "mistral");
  mistral["sliding_window"] = int64_t{128};  // as long as the longest sequence
  EXPECT_NO_THROW(describe(mistral));
  mistral["sliding_window"] = int64_t{64};
  expect_refusal(mistral, "sliding_window = 64");
  key_map qwen2 = config_of("qwen2");
  qwen2["sliding_window"] = int64_t{64};
  EXPECT_NO_THROW(describe(qwen2));  // switched off by use_sliding_window
  qwen2["use_sliding_window"] = true;
  EXPECT_NO_THROW(describe(qwen2));  // starts above the last layer
  qwen2["max_window_layers"] = int64_t{1};
  expect_refusal(qwen2, "sliding_window = 64");
}

TEST(DescribeTest, NamesWhatItDoesNotImplement) {
  const auto with = [](const char* folder, const char* key, key_value value) {
    key_map config = config_of(folder);
    config[key] = std::move(value);
    return config;
  };
  expect_refusal(with("llama", "model_type", std::string("mamba")), "mamba");
  expect_refusal(with("llama", "hidden_act", std::string("tanh")), "hidden_act = \"tanh\"");
  expect_refusal(with("llama", "rope_scaling.rope_type", std::string("yarn")), "yarn");
  expect_refusal(with("llama", "partial_rotary_factor", 0.5), "partial_rotary_factor");
  expect_refusal(with("gpt2", "scale_attn_by_inverse_layer_idx", true), "scale_attn_by_inverse_layer_idx = true");
  expect_refusal(with("gpt2", "scale_attn_weights", false), "scale_attn_weights = false");
  expect_refusal(with("bloom", "apply_residual_connection_post_layernorm", true),
                 "apply_residual_connection_post_layernorm");
  expect_refusal(with("opt", "layer_norm_elementwise_affine", false), "layer_norm_elementwise_affine");
}

TEST(DescribeTest, RefusesSizesThatDoNotFit) {
  const auto with = [](const char* key, int64_t value) {
    key_map config = config_of("llama");
    config[key] = value;
    return config;
  };
  expect_refusal(with("num_attention_heads", 0), "head");
  expect_refusal(with("hidden_size", int64_t{1} << 62), "hidden_size");
  expect_refusal(with("num_attention_heads", 5), "does not divide");
  expect_refusal(with("num_key_value_heads", 3), "do not divide");
  expect_refusal(with("num_key_value_heads", -1), "key/value head");
  expect_refusal(with("vocab_size", int64_t{1} << 40), "vocab_size");
  expect_refusal(with("num_hidden_layers", 0), "layer");
  expect_refusal(with("head_dim", 15), "rotary");
  key_map missing = config_of("llama");
  missing.erase("intermediate_size");
  expect_refusal(missing, "intermediate_size");
}

}  // namespace
}  // namespace troupe::engine
