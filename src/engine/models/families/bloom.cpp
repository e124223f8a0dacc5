#include "engine/models/config_values.hpp"
#include "engine/models/family.hpp"

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d;
  d.width = require_extent_of(config, "hidden_size", "n_embed");
  d.layers = require_extent_of(config, "n_layer", "num_hidden_layers");
  d.heads = require_extent_of(config, "n_head", "num_attention_heads");
  d.kv_heads = d.heads;
  d.head_width = divided_head_width(d);
  d.feed_forward = 4 * d.width;
  d.max_positions = get_int(config, "seq_length", 2048);
  d.embedding_width = d.width;
  d.norm = norm_kind::layer;
  d.norm_epsilon = static_cast<float>(get_double(config, "layer_norm_epsilon", 1e-5));
  d.embedding_norm = true;
  d.position = position_kind::alibi;
  d.activation = kernels::activation::gelu_tanh;
  d.gated = false;
  d.qkv_bias = d.attention_out_bias = d.feed_forward_bias = true;
  d.tied_head = get_bool(config, "tie_word_embeddings", true);
  refuse_flag(config, "apply_residual_connection_post_layernorm", false);
  return d;
}

const model_family& bloom() {
  static const model_family family{
      .type = "bloom",
      .saved_as = {"BloomForCausalLM", "BloomForSequenceClassification"},
      .describe = describe,
      .tensors = {.prefix = "transformer.",
                  .block = "h.",
                  .head = "lm_head.weight",
                  .trunk = {{"word_embeddings", "embedding.token"},
                            {"word_embeddings_layernorm", "embedding.norm"},
                            {"ln_f", "final_norm"}},
                  .in_block = {{"input_layernorm", "attention_norm"},
                               {"self_attention.query_key_value", "attention.qkv", module_part::by_head},
                               {"self_attention.dense", "attention.out"},
                               {"post_attention_layernorm", "feed_forward_norm"},
                               {"mlp.dense_h_to_4h", "feed_forward.up"},
                               {"mlp.dense_4h_to_h", "feed_forward.down"}}}};
  return family;
}

}  // namespace troupe::engine::families
