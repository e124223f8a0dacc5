#include "engine/models/config_values.hpp"
#include "engine/models/family.hpp"

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d;
  d.width = require_extent(config, "n_embd");
  d.layers = require_extent(config, "n_layer");
  d.heads = require_extent(config, "n_head");
  d.kv_heads = d.heads;
  d.head_width = divided_head_width(d);
  d.feed_forward = get_int(config, "n_inner", 4 * d.width);
  d.max_positions = require_extent(config, "n_positions");
  d.embedding_width = d.width;
  d.norm = norm_kind::layer;
  d.norm_epsilon = static_cast<float>(get_double(config, "layer_norm_epsilon", 1e-5));
  d.position = position_kind::learned;
  d.activation = activation_of(config, "activation_function", "gelu_new");
  d.gated = false;
  d.qkv_bias = d.attention_out_bias = d.feed_forward_bias = true;
  d.tied_head = get_bool(config, "tie_word_embeddings", true);
  refuse_flag(config, "scale_attn_weights", true);
  refuse_flag(config, "scale_attn_by_inverse_layer_idx", false);
  refuse_flag(config, "add_cross_attention", false);
  return d;
}

const model_family& gpt2() {
  static const model_family family{
      .type = "gpt2",
      .saved_as = {"GPT2LMHeadModel", "GPT2ForSequenceClassification"},
      .describe = describe,
      .tensors = {.prefix = "transformer.",
                  .block = "h.",
                  .head = "lm_head.weight",
                  .trunk = {{"wte", "embedding.token"}, {"wpe", "embedding.position"}, {"ln_f", "final_norm"}},
                  .in_block = {{"ln_1", "attention_norm"},
                               {"attn.c_attn", "attention.qkv", module_part::transposed},
                               {"attn.c_proj", "attention.out", module_part::transposed},
                               {"ln_2", "feed_forward_norm"},
                               {"mlp.c_fc", "feed_forward.up", module_part::transposed},
                               {"mlp.c_proj", "feed_forward.down", module_part::transposed}},
                  .buffer_endings = {".attn.bias", ".attn.masked_bias"}}};
  return family;
}

}  // namespace troupe::engine::families
