/// What some programs put at the start of a text to say that it is UTF-8.
#pragma once

#include <string_view>

namespace troupe::io {

/// The text behind its byte-order mark, where it has one.
inline std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  return text.substr(text.starts_with(mark) ? mark.size() : 0);
}

}  // namespace troupe::io
