#include "io/tokenizer/tokenizer_config.hpp"

#include "base/error.hpp"
#include "io/json/json.hpp"
#include "io/tokenizer/bpe.hpp"
#include "io/tokenizer/json_members.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace troupe::io {
namespace {

using nlohmann::json;

struct class_defaults {
  std::string_view name;
  std::string_view bos, eos, pad, unk;  // empty: none
  bool add_bos = false;
};

// Source  the keyword defaults of the tokenizer classes of `transformers`.
constexpr std::array known_classes{
    class_defaults{"", "<|endoftext|>", "<|endoftext|>", "", "<|endoftext|>"},
    class_defaults{"GPT2Tokenizer", "<|endoftext|>", "<|endoftext|>", "", "<|endoftext|>"},
    class_defaults{"GPTNeoXTokenizer", "<|endoftext|>", "<|endoftext|>", "", "<|endoftext|>"},
    class_defaults{"Qwen2Tokenizer", "", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>"},
    class_defaults{"BloomTokenizer", "<s>", "</s>", "<pad>", "<unk>"},
    class_defaults{"LlamaTokenizer", "<s>", "</s>", "", "<unk>", true},
};

const class_defaults& defaults_of(std::string_view name) {
  for (const class_defaults& known : known_classes) {
    if (known.name == name) {
      return known;
    }
  }
  static constexpr class_defaults none{};
  return none;
}

// "text", or an object with the text as its "content".
added_token special_token(const json& value, std::string_view key, const std::string& where) {
  if (value.is_object()) {
    added_token token = read_added_token(value, fmt::format("{}, \"{}\"", where, key));
    token.special = true;
    token.normalized = bool_member(value, "normalized", false, where);
    return token;
  }
  if (!value.is_string()) {
    throw error(errc::bad_file, "{}: \"{}\" is of type {}, not text", where, key, value.type_name());
  }
  return {.content = value.get<std::string>()};
}

bool has_added_decoder(const json& config) { return config.contains("added_tokens_decoder"); }

/// Reads the special tokens that tokenizer_config.json and special_tokens_map.json name.
class special_reader {
public:
  special_reader(const json& config, const json& map, const std::string& where)
      : config_(config), map_(map), where_(where) {}

  /// A null means: none.
  std::optional<named_special> one(std::string_view key, std::string_view fallback) const {
    for (const json* source : sources()) {
      if (const auto found = source->find(key); found != source->end()) {
        if (found->is_null()) {
          return std::nullopt;
        }
        return named(*found, key, source == &map_);
      }
    }
    return fallback.empty() ? std::nullopt : std::optional(named_special{.token = {.content = std::string(fallback)}});
  }

  /// A list, or an object with names for its tokens.
  void several(std::string_view key, std::vector<named_special>& result) const {
    for (const json* source : sources()) {
      const json* found = find_member(*source, key, where_);
      if (found == nullptr) {
        continue;
      }
      if (!found->is_array() && !found->is_object()) {
        throw error(errc::bad_file, "{}: \"{}\" is of type {}, not an array", where_, key, found->type_name());
      }
      for (const json& entry : *found) {
        result.push_back(named(entry, key, true));
      }
      return;
    }
  }

private:
  std::array<const json*, 2> sources() const {
    return has_added_decoder(config_) ? std::array{&config_, &map_} : std::array{&map_, &config_};
  }

  named_special named(const json& value, std::string_view key, bool listed) const {
    return {special_token(value, key, where_), true, listed || value.is_object()};
  }

  const json& config_;
  const json& map_;
  const std::string& where_;
};

void read_added_decoder(const json& source, tokenizer_config& config) {
  const json* added = find_member(source, "added_tokens_decoder", config.where);
  if (added == nullptr) {
    return;
  }
  if (!added->is_object()) {
    throw error(errc::bad_file, "{}: \"added_tokens_decoder\" is not an object", config.where);
  }
  for (const auto& [key, entry] : added->items()) {
    const std::string where = fmt::format("{}, added_tokens_decoder \"{}\"", config.where, key);
    added_token token = read_added_token(entry, where);
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), token.id);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || token.id < 0) {
      throw error(errc::bad_file, "{}: the key is not an id", where);
    }
    config.added.push_back(std::move(token));
  }
}

// {"[PAD]": 32000}: special are those that are named so elsewhere.
void read_added_map(const json& source, const std::string& where, tokenizer_config& config) {
  for (const auto& [text, id] : source.items()) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= uint64_t{token_id_limit}) {
      throw error(errc::bad_file, "{}: the id of \"{}\" is not a number from 0 to {}", where, text, token_id_limit - 1);
    }
    const bool special =
        std::any_of(config.all_named.begin(), config.all_named.end(),
                    [&text = text](const named_special& named) { return named.token.content == text; });
    config.added.push_back({.id = id.get<int32_t>(), .content = text, .special = special, .normalized = !special});
  }
  const auto by_id = [](const added_token& a, const added_token& b) { return a.id < b.id; };
  std::sort(config.added.begin(), config.added.end(), by_id);
}

void read_specials(const json& source, const json& map, tokenizer_config& config) {
  const special_reader specials(source, map, config.where);
  const class_defaults& defaults = defaults_of(config.tokenizer_class);
  config.bos = specials.one("bos_token", defaults.bos);
  config.eos = specials.one("eos_token", defaults.eos);
  config.pad = specials.one("pad_token", defaults.pad);
  config.unk = specials.one("unk_token", defaults.unk);
  for (const auto& named : {config.bos, config.eos, config.unk, specials.one("sep_token", ""), config.pad,
                            specials.one("cls_token", ""), specials.one("mask_token", "")}) {
    if (named) {
      config.all_named.push_back(*named);
    }
  }
  specials.several("additional_special_tokens", config.all_named);
  specials.several("extra_special_tokens", config.all_named);
}

std::string optional_text(const json& source, std::string_view key, const std::string& where) {
  return find_member(source, key, where) == nullptr ? std::string() : text_member(source, key, where);
}

std::optional<bool> optional_bool(const json& source, std::string_view key, const std::string& where) {
  if (find_member(source, key, where) == nullptr) {
    return std::nullopt;
  }
  return bool_member(source, key, false, where);
}

// One template, or a list of named ones, of which "default" counts.
std::string read_chat_template(const json& source, const std::string& where) {
  const json* value = find_member(source, "chat_template", where);
  if (value == nullptr || !value->is_array()) {
    return optional_text(source, "chat_template", where);
  }
  for (const json& entry : *value) {
    if (text_member(entry, "name", where) == "default") {
      return text_member(entry, "template", where);
    }
  }
  return {};
}

std::string class_without_fast(std::string name) {
  constexpr std::string_view ending = "Fast";
  if (name.ends_with(ending) && name != "PreTrainedTokenizerFast") {
    name.resize(name.size() - ending.size());
  }
  return name;
}

json parse_object(const std::optional<std::string>& text, const std::string& where) {
  json object = text ? parse_json(*text, where) : json::object();
  if (!object.is_object()) {
    throw error(errc::bad_file, "{}: not an object", where);
  }
  return object;
}

}  // namespace

added_token read_added_token(const json& entry, const std::string& where) {
  refuse_unknown_members(entry, {"__type", "id", "content", "special", "single_word", "lstrip", "rstrip", "normalized"},
                         where);
  added_token token;
  token.content = text_member(entry, "content", where);
  token.special = bool_member(entry, "special", false, where);
  token.single_word = bool_member(entry, "single_word", false, where);
  token.lstrip = bool_member(entry, "lstrip", false, where);
  token.rstrip = bool_member(entry, "rstrip", false, where);
  token.normalized = bool_member(entry, "normalized", !token.special, where);
  if (token.content.empty()) {
    throw error(errc::bad_file, "{}: \"content\" is empty", where);
  }
  return token;
}

tokenizer_config read_tokenizer_config(const tokenizer_files& files, const std::string& where) {
  tokenizer_config config;
  config.where = where + "/tokenizer_config.json";
  const json source = parse_object(files.tokenizer_config_json, config.where);
  const json map = parse_object(files.special_tokens_map_json, where + "/special_tokens_map.json");
  config.tokenizer_class = class_without_fast(optional_text(source, "tokenizer_class", config.where));
  read_specials(source, map, config);
  if (has_added_decoder(source)) {
    read_added_decoder(source, config);
  } else {
    const std::string added_where = where + "/added_tokens.json";
    read_added_map(parse_object(files.added_tokens_json, added_where), added_where, config);
  }
  config.add_bos = optional_bool(source, "add_bos_token", config.where);
  if (!config.add_bos && defaults_of(config.tokenizer_class).add_bos) {
    config.add_bos = true;
  }
  config.add_eos = optional_bool(source, "add_eos_token", config.where);
  config.add_prefix_space = bool_member(source, "add_prefix_space", false, config.where);
  config.legacy = bool_member(source, "legacy", true, config.where);
  config.pattern = optional_text(source, "pre_tokenizer_regex", config.where);
  config.normalizer = optional_text(source, "normalizer", config.where);
  config.chat_template =
      files.chat_template_jinja ? *files.chat_template_jinja : read_chat_template(source, config.where);
  if (config.chat_template.empty() && files.chat_template_json) {
    const std::string place = where + "/chat_template.json";
    config.chat_template = read_chat_template(parse_object(files.chat_template_json, place), place);
  }
  return config;
}

std::vector<added_token> place_added_tokens(std::vector<added_token> own, const tokenizer_config& config,
                                            const token_finder& find, int64_t vocabulary_size) {
  std::vector<added_token> tokens = std::move(own);
  int64_t next_id = vocabulary_size;
  for (const added_token& token : tokens) {
    next_id = std::max<int64_t>(next_id, token.id + int64_t{1});
  }
  const auto placed = [&](const std::string& content) {
    return std::any_of(tokens.begin(), tokens.end(), [&](const added_token& t) { return t.content == content; });
  };
  for (const added_token& token : config.added) {
    const auto id = find(token.content);
    if (id && *id != token.id) {
      throw error(errc::bad_file, "{}: added token \"{}\" has the id {}, in the vocabulary {}", config.where,
                  token.content, token.id, *id);
    }
    if (!placed(token.content)) {
      tokens.push_back(token);
      next_id = std::max<int64_t>(next_id, token.id + int64_t{1});
    }
  }
  for (const named_special& named : config.all_named) {
    const auto id = find(named.token.content);
    if (placed(named.token.content) || (!id && !named.required)) {
      continue;
    }
    tokens.push_back(named.token);
    tokens.back().id = id ? *id : static_cast<int32_t>(next_id++);
    tokens.back().in_text = named.listed || !id;
  }
  return tokens;
}

special_ids find_specials(const tokenizer_config& config, const token_finder& find) {
  const auto id_of = [&](const std::optional<named_special>& named, std::string_view key) {
    const auto id = named ? find(named->token.content) : std::nullopt;
    if (named && named->required && !id) {
      throw error(errc::bad_file, "{}: {} \"{}\" is not in the vocabulary", config.where, key, named->token.content);
    }
    return id;
  };
  return {id_of(config.bos, "bos_token"), id_of(config.eos, "eos_token"), id_of(config.pad, "pad_token"),
          id_of(config.unk, "unk_token")};
}

}  // namespace troupe::io
