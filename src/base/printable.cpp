#include "base/printable.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <iterator>

namespace troupe {

namespace {

using byte = unsigned char;

/// Bytes of the UTF-8 character that `text` begins with; 0: it is none.
/// Source  Unicode standard, table 3-7.
size_t character_size(std::string_view text) {
  const auto at = [&](size_t i) { return i < text.size() ? static_cast<byte>(text[i]) : byte{0}; };
  const auto follows = [&](size_t i) { return at(i) >= 0x80 && at(i) <= 0xBF; };
  const byte first = at(0);
  if (first < 0x80) {
    return 1;
  }
  if (first >= 0xC2 && first <= 0xDF) {
    return follows(1) ? 2 : 0;
  }
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && at(1) < 0xA0;
    const bool surrogate = first == 0xED && at(1) > 0x9F;
    return follows(1) && follows(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && at(1) < 0x90;
    const bool beyond = first == 0xF4 && at(1) > 0x8F;
    return follows(1) && follows(2) && follows(3) && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

/// C0, DEL, and C1 in UTF-8 (U+0080 to U+009F).
bool is_control(std::string_view character) {
  const auto first = static_cast<byte>(character.front());
  return first < 0x20 || first == 0x7F ||
         (character.size() == 2 && first == 0xC2 && static_cast<byte>(character[1]) < 0xA0);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t size = character_size(text);
    const std::string_view character = text.substr(0, size == 0 ? 1 : size);
    const bool plain = character == "\n" || character == "\t" || (size > 0 && !is_control(character));
    if (plain) {
      out += character;
    } else {
      for (const char c : character) {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<byte>(c));
      }
    }
    text.remove_prefix(character.size());
  }
  return out;
}

bool is_one_line(std::string_view text) {
  while (!text.empty()) {
    const size_t size = character_size(text);
    const std::string_view character = text.substr(0, size == 0 ? 1 : size);
    if (is_control(character)) {
      return false;
    }
    text.remove_prefix(character.size());
  }
  return true;
}

}  // namespace troupe
