/// The whole pipeline of a BPE tokenizer: added tokens, normalisers, pre-tokenizers, merges,
/// decoder.
#pragma once

#include "io/tokenizer/added_tokens.hpp"
#include "io/tokenizer/bpe.hpp"
#include "io/tokenizer/rules.hpp"
#include "io/tokenizer/token_decoder.hpp"
#include "io/tokenizer/tokenizer.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::io {

/// What the files of a BPE tokenizer say.
struct bpe_definition {
  vocabulary words;  ///< added tokens included
  bpe_model::merge_list merges;
  bpe_options options;
  std::vector<added_token> added;
  std::vector<normalize_step> normalizers;
  std::vector<split_step> splits;
  token_decoder_factory decoder = make_byte_level_decoder;
  std::vector<int32_t> prefix_ids;  ///< what add_special_tokens puts before a text
  std::vector<int32_t> suffix_ids;  ///< ... after it
};

class bpe_tokenizer final : public tokenizer {
public:
  /// Errors  bad_file for a merge of tokens that are not in the vocabulary.
  bpe_tokenizer(bpe_definition definition, const special_ids& specials, uint64_t digest, std::string chat_template);

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override;
  std::vector<int32_t> encode_filtered(std::string_view text, const special_filter& is_meant) const override;
  std::unique_ptr<stream_decoder> make_stream_decoder(bool skip_special) const override;
  int64_t vocabulary_size() const override { return definition_.words.size(); }
  std::optional<int32_t> find(std::string_view token) const override { return definition_.words.find(token); }
  bool is_special(int32_t id) const override;

private:
  class stream;

  void encode_part(std::string_view text, const added_token_finder::agreement& takes, bool at_start, bool use_cache,
                   std::vector<int32_t>& ids) const;
  void encode_words(std::string_view text, bool at_start, bool use_cache, std::vector<int32_t>& ids) const;

  bpe_definition definition_;
  bpe_model model_;
  added_token_finder in_raw_text_;
  added_token_finder in_normal_text_;
  added_token_finder in_filtered_text_;  // those of the given text, and all special ones as they are spelt
  std::vector<bool> special_;            // by id
};

}  // namespace troupe::io
