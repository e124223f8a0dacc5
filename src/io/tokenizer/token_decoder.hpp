/// From token texts to text, one token at a time: the decoders of a tokenizer.json.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::io {

/// What makes text of token texts; pieces join to the text of all tokens.
class token_decoder {
public:
  virtual ~token_decoder() = default;
  token_decoder(const token_decoder&) = delete;
  token_decoder& operator=(const token_decoder&) = delete;

  virtual std::string push(std::string_view token) = 0;
  virtual std::string finish() = 0;

protected:
  token_decoder() = default;
};

using token_decoder_factory = std::function<std::unique_ptr<token_decoder>()>;

/// Bytes in GPT-2's alphabet; what is not UTF-8 becomes U+FFFD, one for each maximal subpart.
std::unique_ptr<token_decoder> make_byte_level_decoder();

struct word_decoder_options {
  std::string space = "▁";        ///< what stands for a space in tokens; empty: nothing does
  bool byte_fallback = false;     ///< tokens <0x00> ... <0xFF> are bytes; a run that is not UTF-8 is all U+FFFD
  bool strip_first = false;       ///< drop one space at the start of the text
  bool drop_first_space = false;  ///< drop the space marks of the first token that start it (Metaspace)
};

/// Texts of characters, in the manner of Llama's tokenizer.json.
std::unique_ptr<token_decoder> make_word_decoder(const word_decoder_options& options);

/// The byte of a token "<0x4F>".
std::optional<uint8_t> byte_of_fallback_token(std::string_view token);

}  // namespace troupe::io
