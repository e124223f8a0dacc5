#include "io/tokenizer/tokenizer_config.hpp"

#include "base/error.hpp"
#include "io/json/json.hpp"
#include "io/tokenizer/json_members.hpp"

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
std::string special_text(const json& value, std::string_view key, const std::string& where) {
  if (value.is_object()) {
    return text_member(value, "content", fmt::format("{}, \"{}\"", where, key));
  }
  if (!value.is_string()) {
    throw error(errc::bad_file, "{}: \"{}\" is of type {}, not text", where, key, value.type_name());
  }
  return value.get<std::string>();
}

// The map's entry counts where the configuration leaves the key out; a null there means: none.
std::optional<named_special> read_special(const json& config, const json& map, std::string_view key,
                                          std::string_view fallback, const std::string& where) {
  for (const json* source : {&config, &map}) {
    if (const auto found = source->find(key); found != source->end()) {
      if (found->is_null()) {
        return std::nullopt;
      }
      return named_special{special_text(*found, key, where), true};
    }
  }
  return fallback.empty() ? std::nullopt : std::optional(named_special{std::string(fallback), false});
}

void read_additional(const json& source, tokenizer_config& config) {
  if (find_member(source, "additional_special_tokens", config.where) == nullptr) {
    return;
  }
  for (const json& entry : array_member(source, "additional_special_tokens", config.where)) {
    config.additional_specials.push_back(special_text(entry, "additional_special_tokens", config.where));
  }
}

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
  const class_defaults& defaults = defaults_of(config.tokenizer_class);
  config.bos = read_special(source, map, "bos_token", defaults.bos, config.where);
  config.eos = read_special(source, map, "eos_token", defaults.eos, config.where);
  config.pad = read_special(source, map, "pad_token", defaults.pad, config.where);
  config.unk = read_special(source, map, "unk_token", defaults.unk, config.where);
  read_additional(source, config);
  read_additional(map, config);
  read_added_decoder(source, config);
  config.add_bos = optional_bool(source, "add_bos_token", config.where);
  if (!config.add_bos && defaults.add_bos) {
    config.add_bos = true;
  }
  config.add_eos = optional_bool(source, "add_eos_token", config.where);
  config.add_prefix_space = bool_member(source, "add_prefix_space", false, config.where);
  config.pattern = optional_text(source, "pre_tokenizer_regex", config.where);
  config.normalizer = optional_text(source, "normalizer", config.where);
  config.chat_template =
      files.chat_template_jinja ? *files.chat_template_jinja : read_chat_template(source, config.where);
  return config;
}

special_ids find_specials(const tokenizer_config& config,
                          const std::function<std::optional<int32_t>(std::string_view)>& find) {
  const auto id_of = [&](const std::optional<named_special>& token, std::string_view key) {
    const auto id = token ? find(token->text) : std::nullopt;
    if (token && token->required && !id) {
      throw error(errc::bad_file, "{}: {} \"{}\" is not in the vocabulary", config.where, key, token->text);
    }
    return id;
  };
  return {id_of(config.bos, "bos_token"), id_of(config.eos, "eos_token"), id_of(config.pad, "pad_token"),
          id_of(config.unk, "unk_token")};
}

}  // namespace troupe::io
