#include "actors/models/special_tokens.hpp"

#include "io/chat/chat.hpp"
#include "io/json/json_keys.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace troupe::actors {

/// `eos_token_id` of a config is an integer or a list of them.
static void add_end_ids(const std::string& json, const std::string& where, std::vector<int32_t>& ids) {
  if (json.empty()) {
    return;
  }
  const key_map keys = io::parse_json_keys(json, where);
  const auto found = keys.find("eos_token_id");
  if (found == keys.end()) {
    return;
  }
  if (const auto* id = std::get_if<int64_t>(&found->second)) {
    ids.push_back(static_cast<int32_t>(*id));
  } else if (const auto* list = std::get_if<std::vector<int64_t>>(&found->second)) {
    ids.insert(ids.end(), list->begin(), list->end());
  }
}

static std::vector<int32_t> known_once(std::vector<int32_t> ids, int64_t vocabulary) {
  std::erase_if(ids, [&](int32_t id) { return id < 0 || id >= vocabulary; });
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

/// In the order in which the file names them.
static std::vector<int32_t> named_end_ids(const model& m) {
  std::vector<int32_t> ids;
  add_end_ids(m.generation_config_json, "generation_config.json", ids);
  if (ids.empty()) {
    add_end_ids(m.config_json, "config.json", ids);
  }
  return ids;
}

std::vector<int32_t> end_tokens_of(const model& m) {
  return known_once(named_end_ids(m), m.net.description().vocabulary);
}

std::optional<int32_t> end_token_of(const model& m, const io::tokenizer& tokens) {
  if (tokens.eos_id()) {
    return tokens.eos_id();
  }
  for (const int32_t id : named_end_ids(m)) {
    if (id >= 0 && id < m.net.description().vocabulary) {
      return id;
    }
  }
  return std::nullopt;
}

std::vector<int32_t> stop_tokens_of(const model& m, const io::tokenizer& tokens) {
  std::vector<int32_t> ids = end_tokens_of(m);
  if (const auto eos = tokens.eos_id()) {
    ids.push_back(*eos);
  }
  return known_once(std::move(ids), m.net.description().vocabulary);
}

int64_t pad_token_of(const io::tokenizer& tokens) { return tokens.pad_id().value_or(tokens.eos_id().value_or(0)); }

std::map<std::string, std::string> template_files_of(const io::job& job) {
  std::set<std::string> written;
  for (const io::data_section& set : job.data) {
    if (set.format != io::data_format::text && set.format != io::data_format::hh_dialogue) {
      written.insert(set.chat_template);
    }
  }
  if (written.size() != 1 || written.begin()->empty() || *written.begin() == "model") {
    return {};
  }
  return {{"chat_template.jinja", io::chat_template_source(*written.begin())}};
}

io::example_rules example_rules_of(const io::job& job, std::shared_ptr<const io::tokenizer> tokens) {
  const auto plain = [tokens](std::string_view text) { return tokens->encode(text, false); };
  const auto rendered = [tokens](const io::jinja::text& text) { return io::encode_chat(*tokens, text); };
  return {
      .texts = io::text_joiner(io::text_encoder(plain)),
      .chats = io::text_joiner(io::marked_encoder(rendered)),
      .start = io::frame_of(*tokens).before,
      .end = tokens->eos_id(),
      .length = job.length,
      .format_of =
          [tokens](const io::data_section& set) { return io::chat_format::chosen(io::chat_settings_of(set), *tokens); },
      .tokens = tokens,
      .spelled = std::make_shared<const io::special_token_counter>(*tokens)};
}

}  // namespace troupe::actors
