/// Rewriting config.json; its other keys keep their order and values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// config.json of a model turned into that of its twin with a scalar head: architectures = `class_name`, one label, and
/// pad_token_id set (to `pad_token_id`, or kept where that is negative).
/// Errors  bad_file: not a JSON object; bad_argument: no pad id is known.
std::string scalar_head_config(const std::string& config_json, std::string_view class_name, int64_t pad_token_id = -1);

/// The way back: architectures = `class_name`, the labels removed.
/// Errors  bad_file: not a JSON object.
std::string language_model_config(const std::string& config_json, std::string_view class_name);

/// With torch_dtype = `torch_type` ("float32").
std::string typed_config(const std::string& config_json, const std::string& torch_type);

/// tokenizer_config.json with this chat template, where it has one of its own.
std::string templated_tokenizer_config(const std::string& tokenizer_config_json, const std::string& chat_template);

/// generation_config.json (empty: there was none) whose eos_token_id are these.
std::string ending_generation_config(const std::string& generation_config_json, const std::vector<int32_t>& end_ids);

}  // namespace troupe::io
