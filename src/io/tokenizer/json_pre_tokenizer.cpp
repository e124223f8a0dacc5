// From a text to the pieces that BPE sees: normalizer and pre_tokenizer.
#include "base/error.hpp"
#include "io/tokenizer/json_members.hpp"
#include "io/tokenizer/json_steps.hpp"

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
  return cut_at.is_regex ? make_pattern_split(cut_at.text, behaviour, invert)
                         : make_literal_split(cut_at.text, behaviour, invert);
}

}  // namespace

void read_normalizer(const json& component, const std::string& where, bpe_definition& result) {
  for_each_step(component, "normalizers", where, [&](const std::string& type, const json& step) {
    if (type == "Prepend") {
      refuse_unknown_members(step, {"type", "prepend"}, where);
      result.normalizers.push_back(make_prepend(text_member(step, "prepend", where)));
    } else if (type == "Replace") {
      refuse_unknown_members(step, {"type", "pattern", "content"}, where);
      const pattern_text from = read_pattern(step, where);
      if (from.is_regex) {
        refuse_component("Replace with a Regex", from.text, where);
      }
      result.normalizers.push_back(make_replace(from.text, text_member(step, "content", where)));
    } else if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
      refuse_unknown_members(step, {"type"}, where);
      result.normalizers.push_back(make_unicode_normalizer(type));
    } else {
      refuse_component("type", type, where);
    }
  });
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
      refuse_component("type", type, where);
    }
  };
  for_each_step(component, "pretokenizers", where, on_step);
}

}  // namespace troupe::io
