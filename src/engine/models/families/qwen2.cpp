#include "engine/models/config_values.hpp"
#include "engine/models/llama_like.hpp"

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d = describe_llama_like(config);
  d.qkv_bias = true;
  if (get_bool(config, "use_sliding_window", false) && get_int(config, "max_window_layers", 28) < d.layers) {
    refuse_active_window(config, d);
  }
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
