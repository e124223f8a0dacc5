/// Bounds-checked reading of little-endian values from bytes that are not to be trusted.
#pragma once

#include "base/error.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace troupe::io {

/// A cursor. Every read past the end throws bad_file with the source's name and the position.
class byte_reader {
public:
  byte_reader(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  template <class T> T read() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  std::span<const std::byte> take(uint64_t count) {
    if (count > bytes_.size() - position_) {
      throw error(errc::bad_file, "{}: {} bytes are needed at byte {}, but the data ends at {}: truncated or corrupt",
                  where_, count, position_, bytes_.size());
    }
    const auto piece = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return piece;
  }

  std::string_view take_text(uint64_t count) {
    const auto piece = take(count);
    return {reinterpret_cast<const char*>(piece.data()), piece.size()};
  }

  void seek(uint64_t position) {
    position_ = 0;
    take(position);
  }

  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }
  const std::string& where() const { return where_; }
  std::span<const std::byte> all() const { return bytes_; }

private:
  std::span<const std::byte> bytes_;
  std::string where_;
  size_t position_ = 0;
};

/// Text from a file as an error may show it: control bytes as '?', cut after 80 bytes.
std::string excerpt(std::string_view text);

}  // namespace troupe::io
