#include "actors/models/special_tokens.hpp"

#include "io/json/json_keys.hpp"
#include "io/tokenizer/chat.hpp"

#include <algorithm>
#include <optional>
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
  if (const auto* one = std::get_if<int64_t>(&found->second)) {
    ids.push_back(static_cast<int32_t>(*one));
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

std::vector<int32_t> end_tokens_of(const model& m) {
  std::vector<int32_t> ids;
  add_end_ids(m.generation_config_json, "generation_config.json", ids);
  if (ids.empty()) {
    add_end_ids(m.config_json, "config.json", ids);
  }
  return known_once(std::move(ids), m.net.description().vocabulary);
}

std::vector<int32_t> stop_tokens_of(const model& m, const io::tokenizer& tokens) {
  std::vector<int32_t> ids = end_tokens_of(m);
  if (const auto eos = tokens.eos_id()) {
    ids.push_back(*eos);
  }
  return known_once(std::move(ids), m.net.description().vocabulary);
}

int64_t pad_token_of(const io::tokenizer& tokens) { return tokens.pad_id().value_or(tokens.eos_id().value_or(0)); }

io::example_rules example_rules_of(const io::job& job, std::shared_ptr<const io::tokenizer> tokens) {
  // What the tokenizer itself puts before a text (BOS, for the families that have one).
  std::vector<int32_t> start = tokens->encode("", true);
  const std::optional<int32_t> end = tokens->eos_id();
  if (end && !start.empty() && start.back() == *end && tokens->bos_id() != end) {
    start.pop_back();  // some configurations append the end token as well
  }
  io::text_encoder encode_chat = [tokens](std::string_view text, bool) { return io::encode_chat(*tokens, text); };
  return {.encode = [tokens = std::move(tokens)](std::string_view text, bool) { return tokens->encode(text, false); },
          .encode_chat = std::move(encode_chat),
          .start = std::move(start),
          .end = end,
          .length = job.length};
}

}  // namespace troupe::actors
