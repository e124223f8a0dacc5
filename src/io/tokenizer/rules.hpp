/// The steps between a text and the words that BPE sees: normalisers and pre-tokenizers, in the
/// terms of the Hugging Face `tokenizers` library.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// Changes a text in place.
using normalize_step = std::function<void(std::string&)>;

/// The pieces of one text; none is empty.
struct piece_list {
  std::vector<std::string_view> pieces;
  std::deque<std::string> storage;  ///< texts that a step made, for the pieces that point into them
  bool at_start = true;             ///< the first piece starts the text that the user gave
};

/// Cuts every piece further.
using split_step = std::function<void(piece_list&)>;

enum class split_behaviour { removed, isolated, merged_with_previous, merged_with_next, contiguous };

enum class prepend_scheme { always, first, never };

/// "NFC", "NFD", "NFKC" or "NFKD".
/// Errors  unsupported for another name.
normalize_step make_unicode_normalizer(std::string_view form);

/// Puts `prefix` before a text that is not empty.
normalize_step make_prepend(std::string prefix);

/// Replaces every `from` (not empty).
/// Errors  bad_file when it is empty.
normalize_step make_replace(std::string from, std::string to);

/// Cuts at the matches of a regular expression, or of a literal text. `invert` takes what lies
/// between for the matches.
split_step make_pattern_split(std::string_view expression, split_behaviour behaviour, bool invert);
split_step make_literal_split(std::string literal, split_behaviour behaviour, bool invert);

/// A space before each piece that does not start with one, then GPT-2's pattern if `use_pattern`.
split_step make_byte_level_split(bool add_prefix_space, bool use_pattern);

/// Spaces become `replacement`, which also goes before the piece as `scheme` says; cut before each
/// if `split`.
split_step make_metaspace_split(std::string replacement, prepend_scheme scheme, bool split);

/// 's|'t|'re|...: contractions, letters, digits and other characters, each with at most one space
/// before it.
/// Source  openai/gpt-2 src/encoder.py.
std::string_view gpt2_pattern();

/// As GPT-2's, but contractions in either case, single digits, line breaks apart.
/// Source  Qwen2's tokenizer.
std::string_view qwen2_pattern();

}  // namespace troupe::io
