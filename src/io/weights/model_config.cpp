#include "io/weights/model_config.hpp"

#include "base/error.hpp"
#include "io/json/json.hpp"

namespace troupe::io {

namespace {

nlohmann::ordered_json parse_config(const std::string& text, const std::string& name = "config.json") {
  auto config = parse_ordered_json(text, name);
  if (!config.is_object()) {
    throw error(errc::bad_file, "{}: a JSON object is expected, this is a {}", name, config.type_name());
  }
  return config;
}

std::string to_text(const nlohmann::ordered_json& config) { return config.dump(2) + "\n"; }

}  // namespace

std::string scalar_head_config(const std::string& config_json, std::string_view class_name, int64_t pad_token_id) {
  nlohmann::ordered_json config = parse_config(config_json);
  config["architectures"] = {class_name};
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

std::string language_model_config(const std::string& config_json, std::string_view class_name) {
  nlohmann::ordered_json config = parse_config(config_json);
  config["architectures"] = {class_name};
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

std::string templated_tokenizer_config(const std::string& tokenizer_config_json, const std::string& chat_template) {
  nlohmann::ordered_json config = parse_config(tokenizer_config_json, "tokenizer_config.json");
  if (!config.contains("chat_template")) {
    return tokenizer_config_json;
  }
  config["chat_template"] = chat_template;
  return to_text(config);
}

std::string ending_generation_config(const std::string& generation_config_json, const std::vector<int32_t>& end_ids) {
  nlohmann::ordered_json config = generation_config_json.empty()
                                      ? nlohmann::ordered_json::object()
                                      : parse_config(generation_config_json, "generation_config.json");
  config["eos_token_id"] = end_ids;
  return to_text(config);
}

}  // namespace troupe::io
