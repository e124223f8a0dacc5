#include "io/weights/gguf_tokenizer.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"
#include "io/json/json.hpp"

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

ordered_json byte_level(bool add_prefix_space, bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

ordered_json sequence(ordered_json first, ordered_json second) {
  return {{"type", "Sequence"}, {"pretokenizers", ordered_json::array({std::move(first), std::move(second)})}};
}

ordered_json split(const char* pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

/// What tokenizer.ggml.pre stands for.
struct splitting {
  ordered_json normalizer = nullptr;
  ordered_json pre_tokenizer;
  bool ignore_merges = false;
};

splitting splitting_of(const gguf_file& file) {
  const std::string pre = file.get<std::string>("tokenizer.ggml.pre", "default");
  if (pre == "smollm") {
    const ordered_json digits = {{"type", "Digits"}, {"individual_digits", true}};
    return {.pre_tokenizer = sequence(digits, byte_level(false, true))};
  }
  if (pre == "gpt-2" || pre == "gpt2" || pre == "default") {
    return {.pre_tokenizer = byte_level(false, true)};
  }
  if (pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3") {
    return {.pre_tokenizer = sequence(split(llama3_pattern), byte_level(false, false)), .ignore_merges = true};
  }
  if (pre == "qwen2") {
    return {.normalizer = {{"type", "NFC"}}, .pre_tokenizer = sequence(split(qwen2_pattern), byte_level(false, false))};
  }
  throw error(errc::unsupported,
              "{}: tokenizer.ggml.pre is \"{}\"; smollm, gpt-2, default, llama-bpe and qwen2 can "
              "be translated",
              file.where(), printable(pre));
}

class tokenizer_translation {
public:
  explicit tokenizer_translation(const gguf_file& file)
      : file_(file), tokens_(file.require<std::vector<std::string>>("tokenizer.ggml.tokens")),
        types_(file.get<std::vector<int64_t>>("tokenizer.ggml.token_type", std::vector<int64_t>(tokens_.size(), 1))) {
    if (types_.size() != tokens_.size()) {
      throw error(errc::bad_file, "{}: {} tokens but {} token types", file.where(), tokens_.size(), types_.size());
    }
  }

  /// Composed as text: a JSON object would not keep a hundred thousand keys in the order of their
  /// ids.
  std::string tokenizer_json() const {
    const splitting how = splitting_of(file_);
    return "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":" + added_tokens().dump() +
           ",\"normalizer\":" + how.normalizer.dump() + ",\"pre_tokenizer\":" + how.pre_tokenizer.dump() +
           ",\"post_processor\":" + post_processor().dump() + ",\"decoder\":" + byte_level(true, true).dump() +
           ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_"
           "prefix\":null," +
           "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_"
           "merges\":" +
           (how.ignore_merges ? "true" : "false") + ",\"vocab\":" + vocabulary() + ",\"merges\":" + merges() + "}}\n";
  }

  std::string tokenizer_config_json() const {
    ordered_json config;
    config["tokenizer_class"] = "PreTrainedTokenizerFast";
    config["add_prefix_space"] = file_.get<bool>("tokenizer.ggml.add_space_prefix", false);
    config["add_bos_token"] = adds_bos();
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

  bool adds_bos() const { return file_.get<bool>("tokenizer.ggml.add_bos_token", false); }

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
    const auto bos = special_id("tokenizer.ggml.bos_token_id");
    if (!adds_bos() || !bos) {
      return nullptr;
    }
    const std::string& token = tokens_[static_cast<size_t>(*bos)];
    json_quoted(token, file_.where());  // UTF-8, or dump() would throw an error of its own
    const ordered_json mark = {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
    const ordered_json first = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
    const ordered_json second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
    ordered_json special;
    special[token] = {{"id", token}, {"ids", ordered_json::array({*bos})}, {"tokens", ordered_json::array({token})}};
    return {{"type", "TemplateProcessing"},
            {"single", ordered_json::array({mark, first})},
            {"pair", ordered_json::array({mark, first, mark, second})},
            {"special_tokens", special}};
  }

  std::string vocabulary() const {
    std::set<std::string_view> seen;
    std::string text = "{";
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (!seen.insert(tokens_[id]).second) {
        throw error(errc::bad_file, "{}: token {} has the text of an earlier one: {}", file_.where(), id,
                    printable(tokens_[id]));
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
        throw error(errc::bad_file, "{}: the merge \"{}\" is not two parts", file_.where(), printable(merge));
      }
      text += (text.size() == 1 ? "[" : ",[") + json_quoted(merge.substr(0, space), file_.where()) + "," +
              json_quoted(merge.substr(space + 1), file_.where()) + "]";
    }
    return text + "]";
  }

  const gguf_file& file_;
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
                file.where(), printable(model));
  }
  const tokenizer_translation translation(file);
  return {{"tokenizer.json", translation.tokenizer_json()},
          {"tokenizer_config.json", translation.tokenizer_config_json()}};
}

}  // namespace troupe::io
