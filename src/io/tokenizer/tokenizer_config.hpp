/// tokenizer_config.json, special_tokens_map.json and added_tokens.json: which tokens there are besides the vocabulary's, which
/// are special, and what is added to a text.
#pragma once

#include "io/tokenizer/added_tokens.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <nlohmann/json.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// A special token named by its text: its id is still to be found, or given.
struct named_special {
  added_token token;
  bool required = false;  ///< a file names it, not only the class's default
  bool listed = false;    ///< not as a mere text of tokenizer_config.json
};

struct tokenizer_config {
  std::string where;            ///< for errors
  std::string tokenizer_class;  ///< without the ending "Fast"; empty where the file has none
  std::optional<named_special> bos, eos, pad, unk;
  std::vector<named_special> all_named;  ///< these and further ones, in the order in which they get ids
  std::vector<added_token> added;        ///< with their ids: added_tokens_decoder, or else added_tokens.json
  std::optional<bool> add_bos;           ///< add_bos_token
  std::optional<bool> add_eos;           ///< add_eos_token
  bool add_prefix_space = false;
  bool legacy = true;      ///< SentencePiece: the text after an added token begins with a space mark as the first does
  std::string pattern;     ///< pre_tokenizer_regex; empty: by class
  std::string normalizer;  ///< "NFC", ...; empty: by class
  std::string chat_template;
};

/// The defaults of the class fill what the files leave out, as in `transformers`. Where there is no added_tokens_decoder,
/// special_tokens_map.json has the last word, and added_tokens.json counts.
/// Errors  bad_file for values of the wrong type.
tokenizer_config read_tokenizer_config(const tokenizer_files& files, const std::string& where);

using token_finder = std::function<std::optional<int32_t>(std::string_view)>;

/// All added tokens, with their ids: `own` (of tokenizer.json), then the configuration's, which no entry of the same text
/// replaces. A named one that nobody has an id for gets the next after all others, as in `transformers`: such ids lie
/// beyond `vocabulary_size`.
/// Errors  bad_file: a token that `find`, the vocabulary, has under another id.
std::vector<added_token> place_added_tokens(std::vector<added_token> own, const tokenizer_config& config,
                                            const token_finder& find, int64_t vocabulary_size);

/// The ids of the named tokens.
/// Errors  bad_file for a required one that `find` does not know.
special_ids find_specials(const tokenizer_config& config, const token_finder& find);

/// One entry of added_tokens or of added_tokens_decoder, without its id.
/// Errors  bad_file, unsupported (a key).
added_token read_added_token(const nlohmann::json& entry, const std::string& where);

}  // namespace troupe::io
