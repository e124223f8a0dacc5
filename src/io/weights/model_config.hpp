/// Rewriting config.json; its other keys keep their order and values.
#pragma once

#include <cstdint>
#include <string>

namespace troupe::io {

/// config.json of a model turned into that of its scalar-head twin: architectures = the family's
/// *ForSequenceClassification, one label, pad_token_id set (to `pad_token_id`, or kept where
/// negative).
/// Errors  bad_file; unsupported: a model_type that has no such class; bad_argument: no pad id is known.
std::string scalar_head_config(const std::string& config_json, int64_t pad_token_id = -1);

/// The way back: architectures = the family's language-model class, the labels removed.
std::string language_model_config(const std::string& config_json);

/// With torch_dtype = `torch_type` ("float32").
std::string typed_config(const std::string& config_json, const std::string& torch_type);

}  // namespace troupe::io
