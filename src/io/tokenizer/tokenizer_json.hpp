/// tokenizer.json, the file of the Hugging Face `tokenizers` library.
#pragma once

#include "io/tokenizer/bpe_tokenizer.hpp"

#include <string>
#include <string_view>

namespace troupe::io {

/// Reads what is listed here; anything else is refused by name.
///   model           BPE (byte_fallback, fuse_unk, ignore_merges; no dropout, no affixes)
///   normalizer      NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence
///   pre_tokenizer   ByteLevel (once), Digits, Punctuation, Split, Metaspace, Whitespace, WhitespaceSplit,
///                   CharDelimiterSplit, Sequence
///   post_processor  ByteLevel (nothing to do), TemplateProcessing (its `single`), BertProcessing, RobertaProcessing,
///                   Sequence
///   decoder         ByteLevel; Metaspace; Sequence of Replace, ByteFallback, Fuse, Strip in this order
/// Expressions of Split and Replace are those that oniguruma.hpp translates.
/// `truncation` and `padding` are settings of the program that wrote the file, and ignored.
/// Errors  bad_file, unsupported; each names `where` and the component.
bpe_definition read_tokenizer_json(std::string_view text, const std::string& where);

}  // namespace troupe::io
