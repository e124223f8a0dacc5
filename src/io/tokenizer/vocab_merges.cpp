#include "io/tokenizer/vocab_merges.hpp"

#include "base/error.hpp"
#include "io/json/json.hpp"

#include <algorithm>
#include <array>

namespace troupe::io {
namespace {

bpe_model::merge_list read_merges(std::string_view text, const std::string& where) {
  bpe_model::merge_list merges;
  for (int64_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    if (line.starts_with("#version") || (line.empty() && text.empty())) {
      continue;
    }
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string_view::npos) {
      throw error(errc::bad_file, "{}, line {}: not two tokens with a space between", where, line_number);
    }
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

void set_rules(const tokenizer_config& config, bpe_definition& definition) {
  constexpr std::array<std::string_view, 4> gpt2_like{"", "GPT2Tokenizer", "GPTNeoXTokenizer", "BloomTokenizer"};
  std::string pattern = config.pattern;
  std::string normalizer = config.normalizer;
  if (pattern.empty() && config.tokenizer_class == "Qwen2Tokenizer") {
    pattern = qwen2_pattern();
    normalizer = normalizer.empty() ? "NFC" : normalizer;
  } else if (pattern.empty() &&
             std::find(gpt2_like.begin(), gpt2_like.end(), config.tokenizer_class) == gpt2_like.end()) {
    throw error(errc::unsupported,
                "{}: tokenizer_class \"{}\" with vocab.json and merges.txt is not supported "
                "(supported: GPT2Tokenizer, GPTNeoXTokenizer, BloomTokenizer, Qwen2Tokenizer, or "
                "any with a pre_tokenizer_regex)",
                config.where, config.tokenizer_class);
  }
  if (!normalizer.empty()) {
    definition.normalizers.push_back(make_unicode_normalizer(normalizer));
  }
  if (!pattern.empty()) {
    definition.splits.push_back(make_pattern_split(pattern, split_behaviour::isolated, false));
  }
  definition.splits.push_back(make_byte_level_split(config.add_prefix_space, pattern.empty()));
}

}  // namespace

void read_vocabulary(const nlohmann::json& vocab, const std::string& where, vocabulary& words) {
  if (!vocab.is_object()) {
    throw error(errc::bad_file, "{}: the vocabulary is not an object", where);
  }
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_unsigned()) {
      throw error(errc::bad_file, "{}: the id of \"{}\" is not a natural number", where, text);
    }
    words.add(text, static_cast<int64_t>(std::min<uint64_t>(id.get<uint64_t>(), INT64_MAX)));
  }
}

bpe_definition read_vocab_merges(std::string_view vocab, std::string_view merges, const tokenizer_config& config,
                                 const std::string& where) {
  bpe_definition definition;
  const std::string vocab_where = where + "/vocab.json";
  read_vocabulary(parse_json(vocab, vocab_where), vocab_where, definition.words);
  definition.merges = read_merges(merges, where + "/merges.txt");
  set_rules(config, definition);
  if (config.unk) {
    definition.options.unk = definition.words.find(config.unk->token.content);
  }
  return definition;
}

}  // namespace troupe::io
