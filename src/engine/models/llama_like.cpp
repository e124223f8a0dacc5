#include "engine/models/llama_like.hpp"

#include "engine/models/config_values.hpp"

#include <fmt/format.h>

namespace troupe::engine {

model_description describe_llama_like(const key_map& config) {
  model_description d;
  d.width = require_extent(config, "hidden_size");
  d.layers = require_extent(config, "num_hidden_layers");
  d.heads = require_extent(config, "num_attention_heads");
  d.kv_heads = get_int(config, "num_key_value_heads", d.heads);
  d.head_width = has(config, "head_dim") ? require_extent(config, "head_dim") : divided_head_width(d);
  d.feed_forward = require_extent(config, "intermediate_size");
  d.max_positions = require_extent(config, "max_position_embeddings");
  d.embedding_width = d.width;
  d.norm = norm_kind::rms;
  d.norm_epsilon = static_cast<float>(get_double(config, "rms_norm_eps", 1e-6));
  d.position = position_kind::rotary;
  const double share = get_double(config, rope_key(config, "partial_rotary_factor"), 1.0);
  refuse_unless(share == 1.0, "partial_rotary_factor", fmt::format("{}", share), "this family turns whole heads");
  d.rotary = rotary_of(config, d.head_width, "rope_theta");
  d.activation = activation_of(config, "hidden_act", "silu");
  d.gated = true;
  d.tied_head = get_bool(config, "tie_word_embeddings", false);
  return d;
}

tensor_naming llama_like_tensors() {
  return {.prefix = "model.",
          .block = "layers.",
          .head = "lm_head.weight",
          .trunk = {{"embed_tokens", "embedding.token"}, {"norm", "final_norm"}},
          .in_block = {{"input_layernorm", "attention_norm"},
                       {"self_attn.q_proj", "attention.qkv", module_part::query},
                       {"self_attn.k_proj", "attention.qkv", module_part::key},
                       {"self_attn.v_proj", "attention.qkv", module_part::value},
                       {"self_attn.o_proj", "attention.out"},
                       {"post_attention_layernorm", "feed_forward_norm"},
                       {"mlp.gate_proj", "feed_forward.gate_up", module_part::gate},
                       {"mlp.up_proj", "feed_forward.gate_up", module_part::up},
                       {"mlp.down_proj", "feed_forward.down"}},
          .buffer_endings = {"rotary_emb.inv_freq"}};
}

}  // namespace troupe::engine
