#include "io/run/markdown.hpp"

#include <fmt/format.h>

#include <iterator>

namespace troupe::io {

static bool means_itself(unsigned char c) {
  return c >= 0x80 || c == ' ' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

std::string markdown_text(std::string_view text) {
  std::string out;
  for (const char byte : text) {
    const auto c = static_cast<unsigned char>(byte);
    if (means_itself(c)) {
      out.push_back(byte);
    } else if (byte == '\n') {
      out += "<br>";
    } else if ((c >= ' ' && c != 0x7f) || byte == '\t') {
      fmt::format_to(std::back_inserter(out), "&#{};", c);
    }
  }
  return out;
}

}  // namespace troupe::io
