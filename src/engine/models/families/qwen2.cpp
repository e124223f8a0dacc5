#include "engine/models/llama_like.hpp"

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d = describe_llama_like(config);
  d.qkv_bias = true;
  limit_to_qwen_window(config, d);
  return d;
}

const model_family& qwen2() {
  static const model_family family{.type = "qwen2",
                                   .saved_as = {"Qwen2ForCausalLM", "Qwen2ForSequenceClassification"},
                                   .describe = describe,
                                   .tensors = llama_like_tensors()};
  return family;
}

}  // namespace troupe::engine::families
