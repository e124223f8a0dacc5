#include "engine/models/config_values.hpp"
#include "engine/models/family.hpp"

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d;
  d.width = require_extent(config, "hidden_size");
  d.layers = require_extent(config, "num_hidden_layers");
  d.heads = require_extent(config, "num_attention_heads");
  d.kv_heads = d.heads;
  d.head_width = divided_head_width(d);
  d.feed_forward = require_extent(config, "ffn_dim");
  d.max_positions = require_extent(config, "max_position_embeddings");
  d.embedding_width = get_int(config, "word_embed_proj_dim", d.width);
  d.norm = norm_kind::layer;
  d.norm_first = get_bool(config, "do_layer_norm_before", true);
  d.final_norm = d.norm_first && !get_bool(config, "_remove_final_layer_norm", false);
  d.position = position_kind::learned;
  d.position_offset = 2;
  d.activation = activation_of(config, "activation_function", "relu");
  d.gated = false;
  const bool bias = get_bool(config, "enable_bias", true);
  d.qkv_bias = d.attention_out_bias = d.feed_forward_bias = bias;
  d.tied_head = get_bool(config, "tie_word_embeddings", true);
  refuse_flag(config, "layer_norm_elementwise_affine", true);
  return d;
}

const model_family& opt() {
  static const model_family family{.type = "opt",
                                   .saved_as = {"OPTForCausalLM", "OPTForSequenceClassification"},
                                   .describe = describe,
                                   .tensors = {.prefix = "model.",
                                               .block = "decoder.layers.",
                                               .head = "lm_head.weight",
                                               .trunk = {{"decoder.embed_tokens", "embedding.token"},
                                                         {"decoder.embed_positions", "embedding.position"},
                                                         {"decoder.project_in", "embedding.project_in"},
                                                         {"decoder.project_out", "project_out"},
                                                         {"decoder.final_layer_norm", "final_norm"}},
                                               .in_block = {{"self_attn_layer_norm", "attention_norm"},
                                                            {"self_attn.q_proj", "attention.qkv", module_part::query},
                                                            {"self_attn.k_proj", "attention.qkv", module_part::key},
                                                            {"self_attn.v_proj", "attention.qkv", module_part::value},
                                                            {"self_attn.out_proj", "attention.out"},
                                                            {"final_layer_norm", "feed_forward_norm"},
                                                            {"fc1", "feed_forward.up"},
                                                            {"fc2", "feed_forward.down"}}}};
  return family;
}

}  // namespace troupe::engine::families
