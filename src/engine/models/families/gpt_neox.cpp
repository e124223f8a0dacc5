#include "engine/models/config_values.hpp"
#include "engine/models/family.hpp"

#include <fmt/format.h>

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d;
  d.width = require_extent(config, "hidden_size");
  d.layers = require_extent(config, "num_hidden_layers");
  d.heads = require_extent(config, "num_attention_heads");
  d.kv_heads = d.heads;
  d.head_width = divided_head_width(d);
  d.feed_forward = require_extent(config, "intermediate_size");
  d.max_positions = require_extent(config, "max_position_embeddings");
  d.embedding_width = d.width;
  d.norm = norm_kind::layer;
  d.norm_epsilon = static_cast<float>(get_double(config, "layer_norm_eps", 1e-5));
  d.position = position_kind::rotary;
  const double share =
      get_double(config, has(config, "rotary_pct") ? "rotary_pct" : rope_key(config, "partial_rotary_factor"), 0.25);
  refuse_unless(share > 0 && share <= 1, "rotary_pct", fmt::format("{}", share), "it must be above 0 and at most 1");
  d.rotary = rotary_of(config, static_cast<int64_t>(static_cast<double>(d.head_width) * share), "rotary_emb_base");
  d.activation = activation_of(config, "hidden_act", "gelu");
  d.gated = false;
  d.parallel_residual = get_bool(config, "use_parallel_residual", true);
  d.qkv_bias = d.attention_out_bias = get_bool(config, "attention_bias", true);
  d.feed_forward_bias = true;
  d.tied_head = get_bool(config, "tie_word_embeddings", false);
  return d;
}

const model_family& gpt_neox() {
  static const model_family family{
      .type = "gpt_neox",
      .saved_as = {"GPTNeoXForCausalLM", "GPTNeoXForSequenceClassification"},
      .describe = describe,
      .tensors = {.prefix = "gpt_neox.",
                  .block = "layers.",
                  .head = "embed_out.weight",
                  .trunk = {{"embed_in", "embedding.token"}, {"final_layer_norm", "final_norm"}},
                  .in_block = {{"input_layernorm", "attention_norm"},
                               {"attention.query_key_value", "attention.qkv", module_part::by_head},
                               {"attention.dense", "attention.out"},
                               {"post_attention_layernorm", "feed_forward_norm"},
                               {"mlp.dense_h_to_4h", "feed_forward.up"},
                               {"mlp.dense_4h_to_h", "feed_forward.down"}},
                  .buffer_endings = {".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"}}};
  return family;
}

}  // namespace troupe::engine::families
