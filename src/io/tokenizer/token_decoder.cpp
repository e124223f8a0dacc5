#include "io/tokenizer/token_decoder.hpp"

#include "io/tokenizer/utf8.hpp"

#include <charconv>
#include <utility>

namespace troupe::io {
namespace {

class byte_level_decoder final : public token_decoder {
public:
  std::string push(std::string_view token) override { return stream_.push(bytes_of_token(token)); }
  std::string finish() override { return stream_.finish(); }

private:
  utf8_stream stream_{utf8_stream::replacement::per_subpart};
};

class word_decoder final : public token_decoder {
public:
  explicit word_decoder(word_decoder_options options) : options_(std::move(options)) {}

  std::string push(std::string_view token) override {
    if (options_.byte_fallback) {
      if (const auto byte = byte_of_fallback_token(token)) {
        bytes_ += static_cast<char>(*byte);
        any_token_ = true;
        return {};
      }
    }
    std::string text = take_bytes();
    text += spaced(token);
    return strip(std::move(text));
  }

  std::string finish() override {
    std::string text = strip(take_bytes());
    any_token_ = false;
    any_text_ = false;
    return text;
  }

private:
  std::string take_bytes() {
    std::string bytes = std::exchange(bytes_, {});
    if (!find_invalid_utf8(bytes)) {
      return bytes;
    }
    std::string text;
    for (size_t i = 0; i < bytes.size(); ++i) {
      append_utf8(text, 0xFFFD);
    }
    return text;
  }

  std::string spaced(std::string_view token) {
    const bool first = !std::exchange(any_token_, true);
    std::string text;
    while (!token.empty()) {
      if (!options_.space.empty() && token.starts_with(options_.space)) {
        token.remove_prefix(options_.space.size());
        const bool drop = options_.drop_first_space && first && text.empty();
        text += drop ? "" : " ";
      } else {
        text += token.front();
        token.remove_prefix(1);
      }
    }
    return text;
  }

  std::string strip(std::string text) {
    if (options_.strip_first && !any_text_ && text.starts_with(' ')) {
      text.erase(0, 1);
      any_text_ = true;
    }
    any_text_ = any_text_ || !text.empty();
    return text;
  }

  word_decoder_options options_;
  std::string bytes_;       // of the run of byte tokens so far
  bool any_token_ = false;  // seen
  bool any_text_ = false;   // given out, or stripped
};

}  // namespace

std::unique_ptr<token_decoder> make_byte_level_decoder() { return std::make_unique<byte_level_decoder>(); }

std::unique_ptr<token_decoder> make_word_decoder(const word_decoder_options& options) {
  return std::make_unique<word_decoder>(options);
}

std::optional<uint8_t> byte_of_fallback_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') {
    return std::nullopt;
  }
  uint8_t byte = 0;
  const char* end = token.data() + 5;
  const auto parsed = std::from_chars(token.data() + 3, end, byte, 16);
  return parsed.ec == std::errc() && parsed.ptr == end ? std::optional<uint8_t>(byte) : std::nullopt;
}

}  // namespace troupe::io
