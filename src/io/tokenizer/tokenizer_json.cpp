#include "io/tokenizer/tokenizer_json.hpp"

#include "io/json.hpp"
#include "io/tokenizer/json_members.hpp"
#include "io/tokenizer/tokenizer_config.hpp"
#include "io/tokenizer/vocab_merges.hpp"
#include "kernels/base/error.hpp"

#include <utility>

namespace troupe::io {
namespace {

using nlohmann::json;

[[noreturn]] void refuse(std::string_view what, std::string_view value, const std::string& where) {
  throw error(errc::unsupported, "{}: {} \"{}\" is not supported", where, what, value);
}

// The steps of a component: its own, or those of the Sequence that it is. Nested sequences are
// flattened; the depth is bounded by the parser.
template <class Function>
void for_each_step(const json& component, std::string_view list_key, const std::string& where,
                   const Function& on_step) {
  const std::string type = text_member(component, "type", where);
  if (type != "Sequence") {
    on_step(type, component);
    return;
  }
  refuse_unknown_members(component, {"type", list_key}, where);
  for (const json& step : array_member(component, list_key, where)) {
    for_each_step(step, list_key, where, on_step);
  }
}

struct pattern_text {
  std::string text;
  bool is_regex = false;
};

// {"Regex": "..."} or {"String": "..."}
pattern_text read_pattern(const json& component, const std::string& where) {
  const json& value = member(component, "pattern", where);
  refuse_unknown_members(value, {"Regex", "String"}, where);
  const bool is_regex = value.contains("Regex");
  return {text_member(value, is_regex ? "Regex" : "String", where), is_regex};
}

void read_normalizer(const json& component, const std::string& where, bpe_definition& result) {
  for_each_step(component, "normalizers", where, [&](const std::string& type, const json& step) {
    if (type == "Prepend") {
      refuse_unknown_members(step, {"type", "prepend"}, where);
      result.normalizers.push_back(make_prepend(text_member(step, "prepend", where)));
    } else if (type == "Replace") {
      refuse_unknown_members(step, {"type", "pattern", "content"}, where);
      const pattern_text from = read_pattern(step, where);
      if (from.is_regex) {
        refuse("Replace with a Regex", from.text, where);
      }
      result.normalizers.push_back(make_replace(from.text, text_member(step, "content", where)));
    } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
      refuse_unknown_members(step, {"type"}, where);
      result.normalizers.push_back(make_unicode_normalizer(type));
    } else {
      refuse("type", type, where);
    }
  });
}

split_behaviour read_behaviour(const json& step, const std::string& where) {
  constexpr std::pair<std::string_view, split_behaviour> known[] = {
      {"Removed", split_behaviour::removed},
      {"Isolated", split_behaviour::isolated},
      {"MergedWithPrevious", split_behaviour::merged_with_previous},
      {"MergedWithNext", split_behaviour::merged_with_next},
      {"Contiguous", split_behaviour::contiguous}};
  const std::string name = text_member(step, "behavior", where);
  for (const auto& [text, behaviour] : known) {
    if (text == name) {
      return behaviour;
    }
  }
  refuse("behavior", name, where);
}

split_step read_split(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "pattern", "behavior", "invert"}, where);
  const pattern_text cut_at = read_pattern(step, where);
  const split_behaviour behaviour = read_behaviour(step, where);
  const bool invert = bool_member(step, "invert", false, where);
  return cut_at.is_regex ? make_pattern_split(cut_at.text, behaviour, invert)
                         : make_literal_split(cut_at.text, behaviour, invert);
}

prepend_scheme read_prepend_scheme(const json& step, const std::string& where) {
  if (find_member(step, "prepend_scheme", where) == nullptr) {
    return bool_member(step, "add_prefix_space", true, where) ? prepend_scheme::always : prepend_scheme::never;
  }
  const std::string name = text_member(step, "prepend_scheme", where);
  if (name == "always" || name == "first" || name == "never") {
    return name == "always" ? prepend_scheme::always : name == "first" ? prepend_scheme::first : prepend_scheme::never;
  }
  refuse("prepend_scheme", name, where);
}

void refuse_unknown_metaspace(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"},
                         where);
}

void read_pre_tokenizer(const json& component, const std::string& where, bpe_definition& result) {
  const auto on_step = [&](const std::string& type, const json& step) {
    if (result.options.byte_level) {
      throw error(errc::unsupported, "{}: \"{}\" after \"ByteLevel\" is not supported", where, type);
    }
    if (type == "ByteLevel") {
      refuse_unknown_members(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where);
      result.options.byte_level = true;
      result.splits.push_back(make_byte_level_split(bool_member(step, "add_prefix_space", true, where),
                                                    bool_member(step, "use_regex", true, where)));
    } else if (type == "Digits") {
      refuse_unknown_members(step, {"type", "individual_digits"}, where);
      const bool single = bool_member(step, "individual_digits", false, where);
      result.splits.push_back(
          make_pattern_split(R"(\p{N})", single ? split_behaviour::isolated : split_behaviour::contiguous, false));
    } else if (type == "Split") {
      result.splits.push_back(read_split(step, where));
    } else if (type == "Metaspace") {
      refuse_unknown_metaspace(step, where);
      const std::string mark = text_member(step, "replacement", where);
      if (mark.empty()) {
        throw error(errc::bad_file, "{}: \"replacement\" is empty", where);
      }
      result.splits.push_back(
          make_metaspace_split(mark, read_prepend_scheme(step, where), bool_member(step, "split", true, where)));
    } else {
      refuse("type", type, where);
    }
  };
  for_each_step(component, "pretokenizers", where, on_step);
}

// Strip, Replace and their kin of a decoder, which must come in the order in which Llama's files
// have them.
class decoder_reader {
public:
  explicit decoder_reader(const std::string& where) : where_(where) { options_.space.clear(); }

  void operator()(const std::string& type, const json& step) {
    if (type == "ByteLevel") {
      refuse_unknown_members(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where_);
      advance(type, 5);
      byte_level_ = true;
    } else if (type == "Replace") {
      refuse_unknown_members(step, {"type", "pattern", "content"}, where_);
      advance(type, 1);
      const pattern_text mark = read_pattern(step, where_);
      if (mark.is_regex || mark.text.empty() || text_member(step, "content", where_) != " ") {
        refuse("Replace other than of a text by a space", mark.text, where_);
      }
      options_.space = mark.text;
    } else if (type == "ByteFallback" || type == "Fuse") {
      refuse_unknown_members(step, {"type"}, where_);
      advance(type, type == "Fuse" ? 3 : 2);
      options_.byte_fallback = options_.byte_fallback || type == "ByteFallback";
    } else if (type == "Strip") {
      read_strip(step);
    } else if (type == "Metaspace") {
      refuse_unknown_metaspace(step, where_);
      advance(type, 5);
      options_.space = text_member(step, "replacement", where_);
      options_.drop_first_space = read_prepend_scheme(step, where_) != prepend_scheme::never;
    } else {
      refuse("type", type, where_);
    }
  }

  token_decoder_factory factory() const {
    if (byte_level_) {
      return make_byte_level_decoder;
    }
    return [options = options_] { return make_word_decoder(options); };
  }

private:
  void advance(const std::string& type, int place) {
    if (place <= place_ || (place == 5 && place_ > 0)) {
      throw error(errc::unsupported, "{}: \"{}\" in this place of a Sequence is not supported", where_, type);
    }
    place_ = place;
  }

  void read_strip(const json& step) {
    refuse_unknown_members(step, {"type", "content", "start", "stop"}, where_);
    if (place_ != 3) {
      refuse("without \"Fuse\" before it, type", "Strip", where_);
    }
    advance("Strip", 4);
    if (text_member(step, "content", where_) != " " || int_member(step, "start", where_) != 1 ||
        int_member(step, "stop", where_) != 0) {
      refuse("other than one space at the start, type", "Strip", where_);
    }
    options_.strip_first = true;
  }

  const std::string& where_;
  word_decoder_options options_;
  bool byte_level_ = false;
  int place_ = 0;
};

void append_template_ids(const json& component, const json& entry, const std::string& where, const vocabulary& words,
                         std::vector<int32_t>& ids) {
  const std::string name = text_member(entry, "id", where);
  const json& special = member(member(component, "special_tokens", where), name, where + ", special_tokens");
  for (const json& id : array_member(special, "ids", where)) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= uint64_t{token_id_limit} ||
        words.text_of(id.get<int64_t>()) == nullptr) {
      throw error(errc::bad_file, "{}: special token \"{}\" has the id {}, which no token has", where, name,
                  id.dump(-1, ' ', false, json::error_handler_t::replace));
    }
    ids.push_back(id.get<int32_t>());
  }
}

void read_template(const json& component, const std::string& where, bpe_definition& result) {
  refuse_unknown_members(component, {"type", "single", "pair", "special_tokens"}, where);
  bool seen_text = false;
  for (const json& entry : array_member(component, "single", where)) {
    refuse_unknown_members(entry, {"SpecialToken", "Sequence"}, where);
    if (const json* special = find_member(entry, "SpecialToken", where)) {
      append_template_ids(component, *special, where, result.words, seen_text ? result.suffix_ids : result.prefix_ids);
    } else if (std::exchange(seen_text, true)) {
      throw error(errc::bad_file, "{}: \"single\" has the text twice", where);
    }
  }
  if (!seen_text) {
    throw error(errc::bad_file, "{}: \"single\" is without the text", where);
  }
}

void read_post_processor(const json& component, const std::string& where, bpe_definition& result) {
  bool has_template = false;
  for_each_step(component, "processors", where, [&](const std::string& type, const json& step) {
    if (type == "TemplateProcessing") {
      if (std::exchange(has_template, true)) {
        refuse("a second", type, where);
      }
      read_template(step, where, result);
    } else if (type != "ByteLevel") {  // which concerns offsets only
      refuse("type", type, where);
    }
  });
}

void refuse_model_extras(const json& model, const std::string& where) {
  refuse_unknown_members(model,
                         {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                          "byte_fallback", "ignore_merges", "vocab", "merges"},
                         where);
  if (const json* dropout = find_member(model, "dropout", where)) {
    if (!dropout->is_number() || dropout->get<double>() != 0) {
      refuse("a value other than 0 of", "dropout", where);
    }
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (find_member(model, affix, where) != nullptr && !text_member(model, affix, where).empty()) {
      refuse("a text as", affix, where);
    }
  }
}

// "left right", or ["left", "right"]
std::pair<std::string, std::string> read_merge(const json& entry, size_t rank, const std::string& where) {
  if (entry.is_string()) {
    const auto& text = entry.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
    return {entry[0].get<std::string>(), entry[1].get<std::string>()};
  }
  throw error(errc::bad_file, "{}: merge {} is not a pair of tokens", where, rank);
}

void read_model(const json& model, const std::string& where, bpe_definition& result) {
  const bool typed = find_member(model, "type", where) != nullptr;
  const std::string type = typed ? text_member(model, "type", where) : "BPE";
  if (type != "BPE") {
    refuse("type", type, where);
  }
  refuse_model_extras(model, where);
  result.options.fuse_unk = bool_member(model, "fuse_unk", false, where);
  result.options.byte_fallback = bool_member(model, "byte_fallback", false, where);
  result.options.ignore_merges = bool_member(model, "ignore_merges", false, where);
  read_vocabulary(member(model, "vocab", where), where, result.words);
  size_t rank = 0;
  for (const json& entry : array_member(model, "merges", where)) {
    result.merges.push_back(read_merge(entry, rank++, where));
  }
  if (find_member(model, "unk_token", where) != nullptr) {
    result.options.unk = result.words.find(text_member(model, "unk_token", where));
  }
}

void read_added(const json& root, const std::string& where, bpe_definition& result) {
  if (find_member(root, "added_tokens", where) == nullptr) {
    return;
  }
  for (const json& entry : array_member(root, "added_tokens", where)) {
    added_token token = read_added_token(entry, where + ", added_tokens");
    const int64_t id = int_member(entry, "id", where + ", added_tokens");
    const auto known = result.words.find(token.content);
    if (!known) {
      result.words.add(token.content, id);
    } else if (*known != id) {
      throw error(errc::bad_file, "{}: added token \"{}\" has the id {}, in the vocabulary {}", where, token.content,
                  id, *known);
    }
    token.id = static_cast<int32_t>(id);
    result.added.push_back(std::move(token));
  }
}

}  // namespace

bpe_definition read_tokenizer_json(std::string_view text, const std::string& where) {
  const json root = parse_json(text, where);
  refuse_unknown_members(root,
                         {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                          "post_processor", "decoder", "model"},
                         where);
  bpe_definition result;
  result.options.byte_level = false;
  read_model(member(root, "model", where), where + ", model", result);
  read_added(root, where, result);
  if (const json* component = find_member(root, "normalizer", where)) {
    read_normalizer(*component, where + ", normalizer", result);
  }
  if (const json* component = find_member(root, "pre_tokenizer", where)) {
    read_pre_tokenizer(*component, where + ", pre_tokenizer", result);
  }
  if (const json* component = find_member(root, "post_processor", where)) {
    read_post_processor(*component, where + ", post_processor", result);
  }
  const std::string decoder_where = where + ", decoder";
  decoder_reader decoder(decoder_where);
  for_each_step(member(root, "decoder", where), "decoders", decoder_where, std::ref(decoder));
  result.decoder = decoder.factory();
  return result;
}

}  // namespace troupe::io
