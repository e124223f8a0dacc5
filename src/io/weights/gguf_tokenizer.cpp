#include "io/weights/gguf_tokenizer.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"
#include "io/json/json.hpp"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <set>

namespace troupe::io {
namespace {

using nlohmann::ordered_json;

constexpr int64_t control_token = 3;  // tokenizer.ggml.token_type
constexpr int64_t user_defined_token = 4;

constexpr const char* llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr const char* gpt2_pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";

ordered_json byte_level(bool add_prefix_space, bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

ordered_json sequence(std::initializer_list<ordered_json> steps) {
  ordered_json list = ordered_json::array();
  for (const ordered_json& step : steps) {
    list.push_back(step);
  }
  return {{"type", "Sequence"}, {"pretokenizers", list}};
}

ordered_json split(const char* pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

/// What tokenizer.ggml.pre stands for.
struct splitting {
  ordered_json normalizer = nullptr;
  ordered_json pre_tokenizer;
  bool ignore_merges = false;
  bool adds_bos = false;  ///< where tokenizer.ggml.add_bos_token is absent
};

/// Source  llama.cpp's src/llama-vocab.cpp: its expressions, and what it assumes where a key is absent. A file without
/// tokenizer.ggml.pre has the type "default", which is not GPT-2's.
splitting splitting_of(const gguf_file& file) {
  const std::string pre = file.get<std::string>("tokenizer.ggml.pre", "default");
  const auto is_one_of = [&pre](std::initializer_list<const char*> names) {
    return std::find(names.begin(), names.end(), pre) != names.end();
  };
  if (pre == "default") {
    return {.pre_tokenizer = sequence({split(R"([\p{P}\$\+<=>\^~\|]+)"), split(gpt2_pattern), split(R"(\p{N}+)"),
                                       split("[0-9][0-9][0-9]"), byte_level(false, false)})};
  }
  if (is_one_of({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})) {
    const ordered_json digits = {{"type", "Digits"}, {"individual_digits", true}};
    return {.pre_tokenizer = sequence({digits, byte_level(false, true)})};
  }
  if (is_one_of({"gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "roberta-bpe"})) {
    return {.pre_tokenizer = byte_level(false, true)};
  }
  if (is_one_of({"llama-bpe", "llama3", "llama-v3", "falcon3"})) {
    return {.pre_tokenizer = sequence({split(llama3_pattern), byte_level(false, false)}),
            .ignore_merges = true,
            .adds_bos = true};
  }
  if (is_one_of({"qwen2", "megrez", "stablelm2"})) {
    return {.normalizer = pre == "stablelm2" ? ordered_json(nullptr) : ordered_json{{"type", "NFC"}},
            .pre_tokenizer = sequence({split(qwen2_pattern), byte_level(false, false)})};
  }
  throw error(errc::unsupported,
              "{}: tokenizer.ggml.pre is \"{}\"; default, gpt-2, mpt, olmo, phi-2, roberta-bpe, smollm, starcoder, "
              "command-r, llama-bpe, falcon3, qwen2 and stablelm2 can be translated",
              file.where(), excerpt(pre));
}

class tokenizer_translation {
public:
  explicit tokenizer_translation(const gguf_file& file)
      : file_(file), how_(splitting_of(file)), tokens_(file.require<std::vector<std::string>>("tokenizer.ggml.tokens")),
        types_(file.get<std::vector<int64_t>>("tokenizer.ggml.token_type", std::vector<int64_t>(tokens_.size(), 1))) {
    if (types_.size() != tokens_.size()) {
      throw error(errc::bad_file, "{}: {} tokens but {} token types", file.where(), tokens_.size(), types_.size());
    }
  }

  /// Composed as text: a JSON object would not keep a hundred thousand keys in the order of their
  /// ids.
  std::string tokenizer_json() const {
    return "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":" + added_tokens().dump() +
           ",\"normalizer\":" + how_.normalizer.dump() + ",\"pre_tokenizer\":" + how_.pre_tokenizer.dump() +
           ",\"post_processor\":" + post_processor().dump() + ",\"decoder\":" + byte_level(true, true).dump() +
           ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_"
           "prefix\":null," +
           "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_"
           "merges\":" +
           (how_.ignore_merges ? "true" : "false") + ",\"vocab\":" + vocabulary() + ",\"merges\":" + merges() + "}}\n";
  }

  std::string tokenizer_config_json() const {
    ordered_json config;
    config["tokenizer_class"] = "PreTrainedTokenizerFast";
    config["add_prefix_space"] = false;  // with byte-level BPE llama.cpp heeds no key
    config["add_bos_token"] = adds_bos();
    config["add_eos_token"] = adds_eos();
    for (const auto& [name, key] :
         {std::pair{"bos_token", "tokenizer.ggml.bos_token_id"}, std::pair{"eos_token", "tokenizer.ggml.eos_token_id"},
          std::pair{"unk_token", "tokenizer.ggml.unknown_token_id"},
          std::pair{"pad_token", "tokenizer.ggml.padding_token_id"}}) {
      if (const auto id = special_id(key)) {
        config[name] = tokens_[static_cast<size_t>(*id)];
      }
    }
    if (file_.has("tokenizer.chat_template")) {
      config["chat_template"] = file_.require<std::string>("tokenizer.chat_template");
    }
    if (const int64_t positions =
            file_.get<int64_t>(file_.get<std::string>("general.architecture", "llama") + ".context_length", 0);
        positions > 0) {
      config["model_max_length"] = positions;
    }
    return checked_dump(config, 1) + "\n";
  }

private:
  std::string checked_dump(const ordered_json& value, int indent) const {
    try {
      return value.dump(indent);
    } catch (const ordered_json::exception&) {
      throw error(errc::bad_file, "{}: the tokenizer's texts are not UTF-8", file_.where());
    }
  }

  bool adds_bos() const { return adds("tokenizer.ggml.add_bos_token", how_.adds_bos, "tokenizer.ggml.bos_token_id"); }
  bool adds_eos() const { return adds("tokenizer.ggml.add_eos_token", false, "tokenizer.ggml.eos_token_id"); }

  bool adds(const char* key, bool fallback, const char* id_key) const {
    const bool wanted = file_.get<bool>(key, fallback);
    if (wanted && !special_id(id_key)) {
      throw error(errc::bad_file, "{}: {} is {}, but there is no {}", file_.where(), key,
                  file_.has(key) ? "true" : "taken for true, as its tokenizer.ggml.pre has it", id_key);
    }
    return wanted;
  }

  std::optional<int64_t> special_id(const char* key) const {
    if (!file_.has(key)) {
      return std::nullopt;
    }
    const auto id = file_.require<int64_t>(key);
    if (id < 0 || id >= static_cast<int64_t>(tokens_.size())) {
      throw error(errc::bad_file, "{}: {} is {}, there are {} tokens", file_.where(), key, id, tokens_.size());
    }
    return id;
  }

  ordered_json added_tokens() const {
    ordered_json added = ordered_json::array();
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] == control_token || types_[id] == user_defined_token) {
        json_quoted(tokens_[id], file_.where());  // as in post_processor
        added.push_back({{"id", id},
                         {"content", tokens_[id]},
                         {"single_word", false},
                         {"lstrip", false},
                         {"rstrip", false},
                         {"normalized", false},
                         {"special", types_[id] == control_token}});
      }
    }
    return added;
  }

  ordered_json post_processor() const {
    ordered_json single = ordered_json::array();
    ordered_json pair = ordered_json::array();
    ordered_json special = ordered_json::object();
    for (const auto& [sequence, type] : {std::pair{"A", 0}, std::pair{"B", 1}}) {
      ordered_json framed = ordered_json::array();
      if (adds_bos()) {
        framed.push_back(special_mark("tokenizer.ggml.bos_token_id", type, special));
      }
      framed.push_back({{"Sequence", {{"id", sequence}, {"type_id", type}}}});
      if (adds_eos()) {
        framed.push_back(special_mark("tokenizer.ggml.eos_token_id", type, special));
      }
      (type == 0 ? single : pair) = framed;
    }
    if (special.empty()) {
      return nullptr;
    }
    pair.insert(pair.begin(), single.begin(), single.end());
    return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
  }

  /// The place of a special token in a template; `special` gets its entry.
  ordered_json special_mark(const char* id_key, int type, ordered_json& special) const {
    const int64_t id = special_id(id_key).value();
    const std::string& token = tokens_[static_cast<size_t>(id)];
    json_quoted(token, file_.where());  // UTF-8, or dump() would throw an error of its own
    special[token] = {{"id", token}, {"ids", ordered_json::array({id})}, {"tokens", ordered_json::array({token})}};
    return {{"SpecialToken", {{"id", token}, {"type_id", type}}}};
  }

  std::string vocabulary() const {
    std::set<std::string_view> seen;
    std::string text = "{";
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (!seen.insert(tokens_[id]).second) {
        throw error(errc::bad_file, "{}: token {} has the text of an earlier one: {}", file_.where(), id,
                    excerpt(tokens_[id]));
      }
      text += (id == 0 ? "" : ",") + json_quoted(tokens_[id], file_.where()) + ":" + std::to_string(id);
    }
    return text + "}";
  }

  std::string merges() const {
    std::string text = "[";
    for (const std::string& merge : file_.require<std::vector<std::string>>("tokenizer.ggml.merges")) {
      const size_t space = merge.find(' ', 1);  // neither part holds a space: bytes are written as letters
      if (space == std::string::npos || space + 1 == merge.size()) {
        throw error(errc::bad_file, "{}: the merge \"{}\" is not two parts", file_.where(), excerpt(merge));
      }
      text += (text.size() == 1 ? "[" : ",[") + json_quoted(merge.substr(0, space), file_.where()) + "," +
              json_quoted(merge.substr(space + 1), file_.where()) + "]";
    }
    return text + "]";
  }

  const gguf_file& file_;
  splitting how_;
  const std::vector<std::string>& tokens_;
  std::vector<int64_t> types_;
};

}  // namespace

std::map<std::string, std::string> tokenizer_files_of(const gguf_file& file) {
  const auto& model = file.require<std::string>("tokenizer.ggml.model");
  if (model != "gpt2") {
    throw error(errc::unsupported,
                "{}: tokenizer.ggml.model is \"{}\"; only byte-level BPE (\"gpt2\") can be translated: convert from "
                "the Hugging Face folder that has the tokenizer's own file",
                file.where(), excerpt(model));
  }
  const tokenizer_translation translation(file);
  return {{"tokenizer.json", translation.tokenizer_json()},
          {"tokenizer_config.json", translation.tokenizer_config_json()}};
}

}  // namespace troupe::io
