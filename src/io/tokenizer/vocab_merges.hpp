/// vocab.json and merges.txt, the older files of byte-level BPE tokenizers.
#pragma once

#include "io/tokenizer/bpe_tokenizer.hpp"
#include "io/tokenizer/tokenizer_config.hpp"

#include <string>
#include <string_view>

namespace troupe::io {

/// merges.txt has one merge a line, two tokens with a space between, after an optional "#version"
/// line. The pre-tokenizer is the configuration's `pre_tokenizer_regex` and `normalizer` where it
/// has them; else, by class: GPT-2's pattern for GPT2Tokenizer, GPTNeoXTokenizer, BloomTokenizer
/// and none; for Qwen2Tokenizer its own and NFC.
/// Errors  bad_file (file and line), unsupported for another class.
bpe_definition read_vocab_merges(std::string_view vocab, std::string_view merges, const tokenizer_config& config,
                                 const std::string& where);

/// Errors  bad_file.
void read_vocabulary(const nlohmann::json& vocab, const std::string& where, vocabulary& words);

}  // namespace troupe::io
