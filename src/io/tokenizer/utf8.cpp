#include "io/tokenizer/utf8.hpp"

#include "base/assert.hpp"
#include "base/error.hpp"

namespace troupe::io {
namespace {

constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

struct lead_byte {
  size_t length = 0;   // of the character; 0: no character starts so
  uint8_t low = 0x80;  // range of the second byte
  uint8_t high = 0xBF;
};

lead_byte classify(uint8_t byte) {
  if (byte < 0x80) {
    return {1};
  }
  if (byte >= 0xC2 && byte <= 0xDF) {
    return {2};
  }
  if (byte >= 0xE0 && byte <= 0xEF) {
    return {3, static_cast<uint8_t>(byte == 0xE0 ? 0xA0 : 0x80), static_cast<uint8_t>(byte == 0xED ? 0x9F : 0xBF)};
  }
  if (byte >= 0xF0 && byte <= 0xF4) {
    return {4, static_cast<uint8_t>(byte == 0xF0 ? 0x90 : 0x80), static_cast<uint8_t>(byte == 0xF4 ? 0x8F : 0xBF)};
  }
  return {};
}

bool is_printable_latin(uint32_t code) {
  return (code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xAC) || (code >= 0xAE && code <= 0xFF);
}

struct alphabet {
  std::array<std::string, 256> characters;
  std::array<int16_t, 512> bytes;  // by code point; -1: no byte

  alphabet() {
    bytes.fill(-1);
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t code = is_printable_latin(byte) ? byte : next++;
      append_utf8(characters[byte], code);
      bytes[code] = static_cast<int16_t>(byte);
    }
  }
};

const alphabet& the_alphabet() {
  static const alphabet value;
  return value;
}

}  // namespace

utf8_step read_utf8(std::string_view bytes) {
  TROUPE_ASSERT(!bytes.empty());
  const auto first = static_cast<uint8_t>(bytes[0]);
  const lead_byte lead = classify(first);
  if (lead.length == 0) {
    return {utf8_step::kind::invalid, 1, 0};
  }
  uint32_t code = lead.length == 1 ? first : first & (0x7Fu >> lead.length);
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) {
      return {utf8_step::kind::incomplete, i, 0};
    }
    const auto byte = static_cast<uint8_t>(bytes[i]);
    const bool fits = i == 1 ? byte >= lead.low && byte <= lead.high : (byte & 0xC0) == 0x80;
    if (!fits) {
      return {utf8_step::kind::invalid, i, 0};
    }
    code = code << 6 | (byte & 0x3Fu);
  }
  return {utf8_step::kind::character, lead.length, code};
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    if (static_cast<uint8_t>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const utf8_step step = read_utf8(text.substr(at));
    if (step.what != utf8_step::kind::character) {
      return at;
    }
    at += step.length;
  }
  return std::nullopt;
}

void require_utf8_text(std::string_view text) {
  if (const auto at = find_invalid_utf8(text)) {
    throw error(errc::bad_argument, "the text is not UTF-8: byte {} of {}", *at, text.size());
  }
}

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

void utf8_stream::replace(std::string& text, utf8_step step) const {
  const size_t times = rule_ == replacement::per_byte ? step.length : 1;
  for (size_t i = 0; i < times; ++i) {
    text += replacement_character;
  }
}

std::string utf8_stream::push(std::string_view bytes) {
  std::string text;
  pending_ += bytes;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const utf8_step step = read_utf8(rest);
    if (step.what == utf8_step::kind::incomplete) {
      break;
    }
    if (step.what == utf8_step::kind::character) {
      text += rest.substr(0, step.length);
    } else {
      replace(text, step);
    }
    rest.remove_prefix(step.length);
  }
  pending_ = std::string(rest);
  return text;
}

std::string utf8_stream::finish() {
  std::string text;
  if (!pending_.empty()) {
    replace(text, {utf8_step::kind::incomplete, pending_.size(), 0});
    pending_.clear();
  }
  return text;
}

const std::array<std::string, 256>& byte_alphabet() { return the_alphabet().characters; }

std::optional<uint8_t> byte_of_character(uint32_t code) {
  const auto& bytes = the_alphabet().bytes;
  if (code >= bytes.size() || bytes[code] < 0) {
    return std::nullopt;
  }
  return static_cast<uint8_t>(bytes[code]);
}

std::string bytes_of_token(std::string_view token) {
  std::string bytes;
  std::string_view rest = token;
  while (!rest.empty()) {
    const utf8_step step = read_utf8(rest);
    const auto byte = step.what == utf8_step::kind::character ? byte_of_character(step.code) : std::optional<uint8_t>();
    if (!byte) {
      return std::string(token);
    }
    bytes += static_cast<char>(*byte);
    rest.remove_prefix(step.length);
  }
  return bytes;
}

}  // namespace troupe::io
