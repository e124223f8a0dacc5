/// Byte-pair encoding: a vocabulary, and an ordered list of merges that turns a word into its
/// tokens.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace troupe::io {

/// No file may name an id beyond this: tables are indexed by id.
inline constexpr int64_t token_id_limit = int64_t{1} << 22;

/// Ids and the texts of their tokens, as the files spell them.
class vocabulary {
public:
  /// Errors  bad_file for an id that is negative, too large or taken, or a text that is taken.
  void add(std::string text, int64_t id);

  std::optional<int32_t> find(std::string_view text) const;
  /// Empty where no token has this id.
  const std::string* text_of(int64_t id) const;
  /// One more than the largest id.
  int64_t size() const { return static_cast<int64_t>(texts_.size()); }

private:
  std::vector<std::unique_ptr<std::string>> texts_;  // by id; the views below point into them
  std::unordered_map<std::string_view, int32_t> ids_;
};

struct bpe_options {
  bool byte_level = true;      ///< words are bytes, spelt in the alphabet of utf8.hpp; else characters
  bool byte_fallback = false;  ///< characters without a token become tokens <0x00> ... <0xFF>
  bool fuse_unk = false;       ///< neighbouring unknowns become one
  bool ignore_merges = false;  ///< a word that is a token as a whole is that token
  std::optional<int32_t> unk;  ///< for what has no token; without it, that is dropped
};

/// Merges of a word: the pair of neighbours with the lowest rank becomes one token (the leftmost of
/// equals), until no pair of neighbours has a rank. O(n log n) for n bytes.
/// Source  Sennrich et al., arXiv:1508.07909; details as in Hugging Face's `tokenizers`.
class bpe_model {
public:
  using merge_list = std::vector<std::pair<std::string, std::string>>;

  /// A pair given twice has its last rank. `words` outlives the model.
  /// Errors  bad_file, naming the merge, where one of its three tokens is not in the vocabulary.
  bpe_model(const vocabulary& words, const merge_list& merges, const bpe_options& options);
  ~bpe_model();

  /// Recently seen words and their tokens, for one caller at a time; of fixed size (1 MB).
  class cache;

  /// Takes the model's cache if no one else has it, to be given to encode_word for the words of one
  /// text.
  std::unique_lock<std::mutex> lock_cache() const;

  /// Appends the tokens of `word` (UTF-8, not empty) to `ids`.
  void encode_word(std::string_view word, bool use_cache, std::vector<int32_t>& ids) const;

private:
  struct merge_rule {
    uint64_t pair = no_pair;  // left id << 32 | right id
    int32_t rank = 0;
    int32_t result = 0;
  };
  static constexpr uint64_t no_pair = ~uint64_t{0};

  const merge_rule* find_merge(int32_t left, int32_t right) const;
  void add_merge(const merge_rule& rule);
  void set_byte_ids();
  void append_unknown(std::vector<int32_t>& symbols, bool& after_unknown) const;
  void append_symbols(std::string_view word, std::vector<int32_t>& symbols) const;
  void append_character(std::string_view character, std::vector<int32_t>& symbols, bool& after_unknown) const;
  void merge(std::string_view word, std::vector<int32_t>& ids) const;
  void merge_short(std::vector<int32_t>& symbols) const;
  void merge_long(std::vector<int32_t>& symbols) const;

  const vocabulary& words_;
  bpe_options options_;
  std::array<int32_t, 256> byte_ids_{};  // of the alphabet's characters, or of <0x00> ...; -1: none
  std::vector<merge_rule> rules_;        // open addressing, a power of two
  mutable std::mutex cache_mutex_;
  std::unique_ptr<cache> cache_;
};

}  // namespace troupe::io
