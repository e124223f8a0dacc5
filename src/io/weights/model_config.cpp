#include "io/weights/model_config.hpp"

#include "base/error.hpp"
#include "io/json/json.hpp"

namespace troupe::io {
namespace {

struct model_classes {
  std::string_view model_type;
  const char* language_model;
  const char* scalar_head;
};

constexpr model_classes known_classes[] = {
    {"opt", "OPTForCausalLM", "OPTForSequenceClassification"},
    {"gpt2", "GPT2LMHeadModel", "GPT2ForSequenceClassification"},
    {"gpt_neox", "GPTNeoXForCausalLM", "GPTNeoXForSequenceClassification"},
    {"bloom", "BloomForCausalLM", "BloomForSequenceClassification"},
    {"llama", "LlamaForCausalLM", "LlamaForSequenceClassification"},
    {"qwen2", "Qwen2ForCausalLM", "Qwen2ForSequenceClassification"},
    {"mistral", "MistralForCausalLM", "MistralForSequenceClassification"},
};

nlohmann::ordered_json parse_config(const std::string& text) {
  auto config = parse_ordered_json(text, "config.json");
  if (!config.is_object()) {
    throw error(errc::bad_file, "config.json: a JSON object is expected, this is a {}", config.type_name());
  }
  return config;
}

const model_classes& classes_of(const nlohmann::ordered_json& config) {
  const auto type = config.find("model_type");
  const std::string name = type != config.end() && type->is_string() ? type->get<std::string>() : "";
  for (const model_classes& known : known_classes) {
    if (known.model_type == name) {
      return known;
    }
  }
  throw error(errc::unsupported,
              "config.json: model_type \"{}\" is none of opt, gpt2, gpt_neox, bloom, llama, qwen2, mistral", name);
}

std::string to_text(const nlohmann::ordered_json& config) { return config.dump(2) + "\n"; }

}  // namespace

std::string scalar_head_config(const std::string& config_json, int64_t pad_token_id) {
  nlohmann::ordered_json config = parse_config(config_json);
  config["architectures"] = {classes_of(config).scalar_head};
  config["id2label"] = {{"0", "LABEL_0"}};
  config["label2id"] = {{"LABEL_0", 0}};
  if (pad_token_id >= 0) {
    config["pad_token_id"] = pad_token_id;
  } else if (!config.contains("pad_token_id") || !config["pad_token_id"].is_number_integer()) {
    throw error(errc::bad_argument,
                "config.json has no pad_token_id, which a scalar-head model is saved with: give one");
  }
  return to_text(config);
}

std::string language_model_config(const std::string& config_json) {
  nlohmann::ordered_json config = parse_config(config_json);
  config["architectures"] = {classes_of(config).language_model};
  for (const char* key : {"id2label", "label2id", "num_labels"}) {
    config.erase(key);
  }
  return to_text(config);
}

std::string typed_config(const std::string& config_json, const std::string& torch_type) {
  nlohmann::ordered_json config = parse_config(config_json);
  // Recent versions of transformers write "dtype" and read both names.
  config.erase("dtype");
  config["torch_dtype"] = torch_type;
  return to_text(config);
}

}  // namespace troupe::io
