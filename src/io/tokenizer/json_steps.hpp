/// The components of a tokenizer.json that are made of steps: normalizer, pre_tokenizer, decoder.
/// Internal to io/tokenizer.
#pragma once

#include "io/tokenizer/bpe_tokenizer.hpp"

#include <nlohmann/json.hpp>

#include <functional>
#include <string>
#include <string_view>

namespace troupe::io {

/// Each reads its component into `result`.
/// Errors  bad_file, unsupported, naming `where` and what is not read.
void read_normalizer(const nlohmann::json& component, const std::string& where, bpe_definition& result);
void read_pre_tokenizer(const nlohmann::json& component, const std::string& where, bpe_definition& result);
void read_decoder(const nlohmann::json& component, const std::string& where, bpe_definition& result);

/// Errors  unsupported: always.
[[noreturn]] void refuse_component(std::string_view what, std::string_view value, const std::string& where);

/// Calls on_step(type, step) for the steps of a component: its own, or those of the Sequence that it is, in `list_key`.
/// Nested sequences are flattened; the depth is bounded by the parser.
void for_each_step(const nlohmann::json& component, std::string_view list_key, const std::string& where,
                   const std::function<void(const std::string&, const nlohmann::json&)>& on_step);

/// {"Regex": "..."} or {"String": "..."}
struct pattern_text {
  std::string text;
  bool is_regex = false;
};
pattern_text read_pattern(const nlohmann::json& step, const std::string& where);

/// What the pre-tokenizer and the decoder have in common where their type is Metaspace.
void refuse_unknown_metaspace(const nlohmann::json& step, const std::string& where);
prepend_scheme read_prepend_scheme(const nlohmann::json& step, const std::string& where);

}  // namespace troupe::io
