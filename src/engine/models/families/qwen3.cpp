#include "engine/models/config_values.hpp"
#include "engine/models/llama_like.hpp"

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  key_map complete = config;
  complete.try_emplace("head_dim", int64_t{128});
  model_description d = describe_llama_like(complete);
  d.qkv_bias = d.attention_out_bias = get_bool(config, "attention_bias", false);
  d.head_norm = true;
  limit_to_qwen_window(config, d);
  return d;
}

static tensor_naming tensors() {
  tensor_naming names = llama_like_tensors();
  names.in_block.push_back({"self_attn.q_norm", "attention.query_norm"});
  names.in_block.push_back({"self_attn.k_norm", "attention.key_norm"});
  return names;
}

const model_family& qwen3() {
  static const model_family family{.type = "qwen3",
                                   .saved_as = {"Qwen3ForCausalLM", "Qwen3ForSequenceClassification"},
                                   .describe = describe,
                                   .tensors = tensors()};
  return family;
}

}  // namespace troupe::engine::families
