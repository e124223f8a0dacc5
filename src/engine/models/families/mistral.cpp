#include "engine/models/config_values.hpp"
#include "engine/models/llama_like.hpp"

namespace troupe::engine::families {

static model_description describe(const key_map& config) {
  model_description d = describe_llama_like(config);
  refuse_active_window(config, d);
  return d;
}

const model_family& mistral() {
  static const model_family family{.type = "mistral",
                                   .saved_as = {"MistralForCausalLM", "MistralForSequenceClassification"},
                                   .describe = describe,
                                   .tensors = llama_like_tensors()};
  return family;
}

}  // namespace troupe::engine::families
