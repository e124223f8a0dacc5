// Text of an INI file: in double quotes, with escapes, where it would not be read back as it is.
#include "io/job/options.hpp"
#include "io/tokenizer/utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace troupe::io {

static bool is_plain(std::string_view text) {
  const auto harmless = [](unsigned char c) { return c >= 0x20 && c != 0x7F && c != '#' && c != ';'; };
  return !text.empty() && text.front() != ' ' && text.back() != ' ' && text.front() != '"' &&
         std::all_of(text.begin(), text.end(), harmless);
}

static std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F || c == '#') {
      out += fmt::format("\\x{:02x}", byte);  // Boost's reader ends a line at any '#'
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string quote_text(std::string_view text) {
  return text.empty() || is_plain(text) ? std::string(text) : in_quotes(text);
}

static bool unescape(std::string_view body, size_t& at, std::string& text) {
  if (at >= body.size()) {
    return false;
  }
  const char c = body[at++];
  switch (c) {
  case 'n':
    text += '\n';
    return true;
  case 't':
    text += '\t';
    return true;
  case 'r':
    text += '\r';
    return true;
  case '"':
  case '\\':
    text += c;
    return true;
  case 'x': {
    unsigned byte = 0;
    const char* first = body.data() + at;
    if (body.size() - at < 2 || std::from_chars(first, first + 2, byte, 16).ptr != first + 2 || byte == 0) {
      return false;
    }
    at += 2;
    text += static_cast<char>(byte);
    return true;
  }
  default:
    return false;
  }
}

bool unquote_text(std::string_view written, std::string& text) {
  text.clear();
  if (written.empty() || written.front() != '"') {
    text = written;
    return true;
  }
  if (written.size() < 2 || written.back() != '"') {
    return false;
  }
  const std::string_view body = written.substr(1, written.size() - 2);
  for (size_t at = 0; at < body.size();) {
    const char c = body[at++];
    if (c == '"' || (c == '\\' && !unescape(body, at, text))) {
      return false;
    }
    if (c != '\\') {
      text += c;
    }
  }
  return !find_invalid_utf8(text);
}

}  // namespace troupe::io
