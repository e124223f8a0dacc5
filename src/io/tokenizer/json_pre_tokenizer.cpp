// From a text to the pieces that BPE sees: normalizer and pre_tokenizer.
#include "base/error.hpp"
#include "io/tokenizer/json_members.hpp"
#include "io/tokenizer/json_steps.hpp"

#include <string_view>
#include <utility>

namespace troupe::io {

namespace {

using nlohmann::json;

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
  refuse_component("behavior", name, where);
}

split_step read_split(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "pattern", "behavior", "invert"}, where);
  const pattern_text cut_at = read_pattern(step, where);
  const split_behaviour behaviour = read_behaviour(step, where);
  const bool invert = bool_member(step, "invert", false, where);
  return naming(where, [&] {
    return cut_at.is_regex ? make_pattern_split(cut_at.text, behaviour, invert)
                           : make_literal_split(cut_at.text, behaviour, invert);
  });
}

// Source  The predicates of the tokenizers library, whose own expressions are those of Rust's regex crate.
constexpr std::string_view numeric = R"(\p{N})";
constexpr std::string_view punctuation = R"([\p{P}$+<=>^`|~])";
constexpr std::string_view white_space = R"(\s)";
constexpr std::string_view words_and_others = R"([[:word:]\u200C\u200D]+|[^[:word:]\u200C\u200D\s]+)";

split_step read_byte_level(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where);
  return make_byte_level_split(bool_member(step, "add_prefix_space", true, where),
                               bool_member(step, "use_regex", true, where));
}

split_step read_digits(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "individual_digits"}, where);
  const bool single = bool_member(step, "individual_digits", false, where);
  return make_pattern_split(numeric, single ? split_behaviour::isolated : split_behaviour::contiguous, false);
}

split_step read_punctuation(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "behavior"}, where);
  const bool named = find_member(step, "behavior", where) != nullptr;
  return make_pattern_split(punctuation, named ? read_behaviour(step, where) : split_behaviour::isolated, false);
}

split_step read_metaspace(const json& step, const std::string& where) {
  refuse_unknown_metaspace(step, where);
  const std::string mark = text_member(step, "replacement", where);
  if (mark.empty()) {
    throw error(errc::bad_file, "{}: \"replacement\" is empty", where);
  }
  return make_metaspace_split(mark, read_prepend_scheme(step, where), bool_member(step, "split", true, where));
}

split_step read_white_space(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type"}, where);
  return make_pattern_split(words_and_others, split_behaviour::removed, true);
}

split_step read_white_space_split(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type"}, where);
  return make_pattern_split(white_space, split_behaviour::removed, false);
}

split_step read_delimiter(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "delimiter"}, where);
  return naming(where, [&] {
    return make_literal_split(text_member(step, "delimiter", where), split_behaviour::removed, false);
  });
}

using split_reader = split_step (*)(const json&, const std::string&);

split_reader find_split_reader(std::string_view type, const std::string& where) {
  constexpr std::pair<std::string_view, split_reader> known[] = {
      {"ByteLevel", read_byte_level},
      {"Digits", read_digits},
      {"Metaspace", read_metaspace},
      {"Punctuation", read_punctuation},
      {"Split", read_split},
      {"CharDelimiterSplit", read_delimiter},
      {"Whitespace", read_white_space},
      {"WhitespaceSplit", read_white_space_split},
  };
  for (const auto& [name, reader] : known) {
    if (name == type) {
      return reader;
    }
  }
  refuse_component("type", type, where);
}

normalize_step replace_literal(std::string_view from, std::string to) {
  return make_replace(std::string(from), std::move(to));
}

normalize_step read_replace(const json& step, const std::string& where) {
  refuse_unknown_members(step, {"type", "pattern", "content"}, where);
  const pattern_text from = read_pattern(step, where);
  const std::string to = text_member(step, "content", where);
  const auto make = from.is_regex ? &make_pattern_replace : &replace_literal;
  return naming(where, [&] { return make(from.text, to); });
}

}  // namespace

void read_normalizer(const json& component, const std::string& where, bpe_definition& result) {
  for_each_step(component, "normalizers", where, [&](const std::string& type, const json& step) {
    if (type == "Prepend") {
      refuse_unknown_members(step, {"type", "prepend"}, where);
      result.normalizers.push_back(make_prepend(text_member(step, "prepend", where)));
    } else if (type == "Replace") {
      result.normalizers.push_back(read_replace(step, where));
    } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
      refuse_unknown_members(step, {"type"}, where);
      result.normalizers.push_back(make_unicode_normalizer(type));
    } else {
      refuse_component("type", type, where);
    }
  });
}

void read_pre_tokenizer(const json& component, const std::string& where, bpe_definition& result) {
  bool spelt = false;
  for_each_step(component, "pretokenizers", where, [&](const std::string& type, const json& step) {
    if (type == "ByteLevel" && result.options.byte_level) {
      throw error(errc::unsupported, "{}: a second \"ByteLevel\" is not supported", where);
    }
    if (result.options.byte_level && !std::exchange(spelt, true)) {
      result.splits.push_back(make_byte_spelling());
    }
    result.splits.push_back(find_split_reader(type, where)(step, where));
    result.options.byte_level = result.options.byte_level || type == "ByteLevel";
  });
  if (spelt) {
    result.splits.push_back(make_byte_reading());
  }
}

}  // namespace troupe::io
