#include "io/tokenizer/tokenizer_json.hpp"

#include "base/error.hpp"
#include "io/json/json.hpp"
#include "io/tokenizer/json_members.hpp"
#include "io/tokenizer/json_steps.hpp"
#include "io/tokenizer/tokenizer_config.hpp"
#include "io/tokenizer/vocab_merges.hpp"

#include <utility>

namespace troupe::io {
namespace {

using nlohmann::json;

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

// ["</s>", 2]
int32_t pair_id(const json& component, std::string_view key, const std::string& where, const vocabulary& words) {
  const json& pair = array_member(component, key, where);
  const bool whole = pair.size() == 2 && pair[0].is_string() && pair[1].is_number_unsigned();
  const auto id = whole ? words.find(pair[0].get_ref<const std::string&>()) : std::nullopt;
  if (!id || pair[1].get<uint64_t>() != static_cast<uint64_t>(*id)) {
    throw error(errc::bad_file, "{}: \"{}\" is not a token of the vocabulary with its id", where, key);
  }
  return *id;
}

// BERT's and RoBERTa's frame of a text.
void read_frame(const json& component, const std::string& where, bpe_definition& result) {
  refuse_unknown_members(component, {"type", "sep", "cls", "trim_offsets", "add_prefix_space"}, where);
  result.prefix_ids.push_back(pair_id(component, "cls", where, result.words));
  result.suffix_ids.push_back(pair_id(component, "sep", where, result.words));
}

void read_post_processor(const json& component, const std::string& where, bpe_definition& result) {
  bool has_template = false;
  for_each_step(component, "processors", where, [&](const std::string& type, const json& step) {
    if (type == "TemplateProcessing" || type == "RobertaProcessing" || type == "BertProcessing") {
      if (std::exchange(has_template, true)) {
        refuse_component("a second frame, type", type, where);
      }
      (type == "TemplateProcessing" ? read_template : read_frame)(step, where, result);
    } else if (type != "ByteLevel") {  // which concerns offsets only
      refuse_component("type", type, where);
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
      refuse_component("a value other than 0 of", "dropout", where);
    }
  }
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (find_member(model, affix, where) != nullptr && !text_member(model, affix, where).empty()) {
      refuse_component("a text as", affix, where);
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
    refuse_component("type", type, where);
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
  read_decoder(member(root, "decoder", where), where + ", decoder", result);
  return result;
}

}  // namespace troupe::io
