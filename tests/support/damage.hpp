/// Feeding a parser with damaged bytes: it must read them or refuse them with troupe::error, never
/// crash.
#pragma once

#include "support/errors.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::test {

using byte_vector = std::vector<std::byte>;

inline byte_vector to_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

inline byte_vector read_bytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  return to_bytes(text);
}

using parser = std::function<void(std::span<const std::byte>)>;

/// Every shorter prefix must be refused (a format with a length or an end mark knows its end). Each
/// is copied to a buffer of its own size, so that the address sanitizer sees any read beyond it.
inline void expect_every_truncation_refused(const byte_vector& bytes, const parser& parse) {
  for (size_t length = 0; length < bytes.size(); ++length) {
    const byte_vector prefix(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_TRUE(caught([&] { parse(prefix); }).has_value()) << "the first " << length << " bytes were accepted";
  }
}

/// Every byte with its lowest, a middle, the highest and all bits flipped is read or refused.
/// Returns how many were refused.
inline size_t flip_every_byte(const byte_vector& bytes, const parser& parse) {
  size_t refused = 0;
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const unsigned mask : {0x01U, 0x10U, 0x80U, 0xFFU}) {
      byte_vector damaged = bytes;
      damaged[at] ^= static_cast<std::byte>(mask);
      refused += caught([&] { parse(damaged); }).has_value() ? 1 : 0;
    }
  }
  return refused;
}

}  // namespace troupe::test
