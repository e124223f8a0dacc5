/// tokenizer_config.json and special_tokens_map.json: which tokens are special, and what is added
/// to a text.
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

/// A special token named by its text; `required` where a file names it, not where only the class's
/// default does.
struct named_special {
  std::string text;
  bool required = false;
};

struct tokenizer_config {
  std::string where;            ///< for errors
  std::string tokenizer_class;  ///< without the ending "Fast"; empty where the file has none
  std::optional<named_special> bos, eos, pad, unk;
  std::vector<std::string> additional_specials;
  std::vector<added_token> added;  ///< added_tokens_decoder
  std::optional<bool> add_bos;     ///< add_bos_token
  std::optional<bool> add_eos;     ///< add_eos_token
  bool add_prefix_space = false;
  std::string pattern;     ///< pre_tokenizer_regex; empty: by class
  std::string normalizer;  ///< "NFC", ...; empty: by class
  std::string chat_template;
};

/// The defaults of the class fill what the files leave out, as in `transformers`.
/// Errors  bad_file for values of the wrong type.
tokenizer_config read_tokenizer_config(const tokenizer_files& files, const std::string& where);

/// The ids of the named tokens.
/// Errors  bad_file for a required one that `find` does not know.
special_ids find_specials(const tokenizer_config& config,
                          const std::function<std::optional<int32_t>(std::string_view)>& find);

/// One entry of added_tokens or of added_tokens_decoder, without its id.
/// Errors  bad_file, unsupported (a key).
added_token read_added_token(const nlohmann::json& entry, const std::string& where);

}  // namespace troupe::io
