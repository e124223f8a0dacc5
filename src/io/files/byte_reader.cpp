#include "io/files/byte_reader.hpp"

namespace troupe::io {

std::string excerpt(std::string_view text) {
  constexpr size_t longest = 80;
  std::string shown(text.substr(0, longest));
  for (char& c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7F) {
      c = '?';
    }
  }
  return text.size() > longest ? shown + "..." : shown;
}

}  // namespace troupe::io
