/// UTF-8, and GPT-2's alphabet of 256 printable characters that stand for bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::io {

/// What stands at the start of some bytes.
struct utf8_step {
  enum class kind {
    character,   ///< a whole character of `length` bytes
    invalid,     ///< the `length` bytes that are the longest prefix of a character, or one byte that
                 ///< starts none
    incomplete,  ///< the bytes end inside a character that is valid so far; `length` is all of them
  };
  kind what = kind::invalid;
  size_t length = 0;
  uint32_t code = 0;  ///< the code point of a whole character
};

/// Errors  none; `bytes` is not empty. Overlong forms, surrogates and code points beyond U+10FFFF
/// are invalid.
/// Source  The Unicode Standard, table 3-7, and "substitution of maximal subparts" (section 3.9).
utf8_step read_utf8(std::string_view bytes);

/// The position of the first byte that is not UTF-8, if there is one.
std::optional<size_t> find_invalid_utf8(std::string_view text);

void append_utf8(std::string& text, uint32_t code);

/// Bytes that arrive in pieces, as valid UTF-8 text.
class utf8_stream {
public:
  enum class replacement {
    per_subpart,  ///< one U+FFFD for each maximal subpart (Rust's from_utf8_lossy)
    per_byte,     ///< one U+FFFD for each byte of an invalid sequence (SentencePiece)
  };
  explicit utf8_stream(replacement rule) : rule_(rule) {}

  /// The characters that `bytes` complete.
  std::string push(std::string_view bytes);

  /// Replaces an unfinished character.
  std::string finish();

private:
  void replace(std::string& text, utf8_step step) const;

  replacement rule_;
  std::string pending_;  // a proper prefix of a character, or nothing
};

/// GPT-2's bytes_to_unicode: printable Latin-1 stands for itself, the other bytes for U+0100 and
/// up.
/// Source  openai/gpt-2 src/encoder.py.
const std::array<std::string, 256>& byte_alphabet();

/// The byte that a character of the alphabet stands for.
std::optional<uint8_t> byte_of_character(uint32_t code);

/// What a token of a byte-level vocabulary stands for: the bytes of its characters, or, where one
/// of them is not in the alphabet (added tokens), its own UTF-8.
std::string bytes_of_token(std::string_view token);

}  // namespace troupe::io
