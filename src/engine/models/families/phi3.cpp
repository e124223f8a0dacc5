#include "engine/models/config_values.hpp"
#include "engine/models/llama_like.hpp"

#include <limits>

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d = describe_llama_like(config);
  d.norm_epsilon = static_cast<float>(get_double(config, "rms_norm_eps", 1e-5));
  limit_to_window(config, std::numeric_limits<int64_t>::max(), d);
  return d;
}

const model_family& phi3() {
  static const model_family family{.type = "phi3",
                                   .saved_as = {"Phi3ForCausalLM", "Phi3ForSequenceClassification"},
                                   .describe = describe,
                                   .tensors = {.prefix = "model.",
                                               .block = "layers.",
                                               .head = "lm_head.weight",
                                               .trunk = {{"embed_tokens", "embedding.token"}, {"norm", "final_norm"}},
                                               .in_block = {{"input_layernorm", "attention_norm"},
                                                            {"self_attn.qkv_proj", "attention.qkv"},
                                                            {"self_attn.o_proj", "attention.out"},
                                                            {"post_attention_layernorm", "feed_forward_norm"},
                                                            {"mlp.gate_up_proj", "feed_forward.gate_up"},
                                                            {"mlp.down_proj", "feed_forward.down"}},
                                               .buffer_endings = {"rotary_emb.inv_freq"}}};
  return family;
}

}  // namespace troupe::engine::families
