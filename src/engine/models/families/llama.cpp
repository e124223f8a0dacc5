#include "engine/models/llama_like.hpp"

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d = describe_llama_like(config);
  d.qkv_bias = d.attention_out_bias = get_bool(config, "attention_bias", false);
  d.feed_forward_bias = get_bool(config, "mlp_bias", false);
  return d;
}

const model_family& llama() {
  static const model_family family{.type = "llama",
                                   .saved_as = {"LlamaForCausalLM", "LlamaForSequenceClassification"},
                                   .describe = describe,
                                   .tensors = llama_like_tensors()};
  return family;
}

}  // namespace troupe::engine::families
