/// Tokens that are looked for in the text itself, before any other step.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace troupe::io {

/// As in the `added_tokens` of a tokenizer.json.
struct added_token {
  int32_t id = 0;
  std::string content;
  bool special = true;       ///< dropped by decode under skip_special
  bool single_word = false;  ///< found only where no word character touches it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< ... after it
  bool normalized = false;   ///< looked for in the normalised text, not in the given one
  bool in_text = true;       ///< false: a piece of a SentencePiece model, which stays text where a text spells it out
};

/// Finds the tokens of a set in texts: leftmost first, the longest of those that start together.
class added_token_finder {
public:
  /// Of several tokens that are spelt alike the first is found: normalised texts of tokens can be.
  void add(const added_token& token, std::string_view spelling);
  bool empty() const { return tokens_.empty(); }

  /// Cuts `text` (valid UTF-8) into tokens and what lies between: `on_part(part, id)`, with no id
  /// between tokens.
  void cut(std::string_view text, const std::function<void(std::string_view, std::optional<int32_t>)>& on_part) const;

  /// The same of those tokens that `takes(token, begin, end)` agrees to find in the bytes [begin, end).
  using agreement = std::function<bool(const added_token& token, size_t begin, size_t end)>;
  void cut(std::string_view text, const agreement& takes,
           const std::function<void(std::string_view, std::optional<int32_t>)>& on_part) const;

private:
  struct match {
    size_t begin = 0;
    size_t end = 0;
    const added_token* token = nullptr;
  };
  std::optional<match> longest_at(std::string_view text, size_t at, const agreement& takes) const;

  std::array<bool, 256> starts_{};                   // bytes that some token starts with
  std::unordered_map<uint64_t, uint32_t> children_;  // node << 8 | byte -> node; node 0 is the root
  std::vector<int32_t> token_of_node_{-1};
  std::vector<added_token> tokens_;
};

}  // namespace troupe::io
