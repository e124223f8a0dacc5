#include "io/run/tfrecord.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace troupe::io {
namespace {

static_assert(std::endian::native == std::endian::little, "event files are little-endian");

std::array<uint32_t, 256> crc_table() {
  constexpr uint32_t reversed_polynomial = 0x82f63b78U;
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1U) != 0 ? reversed_polynomial : 0U);
    }
    table[byte] = crc;
  }
  return table;
}

template <class T> void put_raw(std::string& out, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

template <class T> T raw_at(std::string_view bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

void put_varint_only(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) {
    out.push_back(static_cast<char>((value & 0x7f) | 0x80));
  }
  out.push_back(static_cast<char>(value));
}

enum wire_type : uint64_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void put_key(std::string& out, int field, wire_type type) {
  put_varint_only(out, static_cast<uint64_t>(field) << 3 | type);
}

/// Takes a varint off the front; none where it does not end.
std::optional<uint64_t> take_varint(std::string_view& rest) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      return value;
    }
  }
  return std::nullopt;
}

/// Bytes that a field of this type takes; none where the type is unknown.
std::optional<uint64_t> field_size(uint64_t type, std::string_view& rest) {
  switch (type) {
  case fixed64:
    return 8;
  case fixed32:
    return 4;
  case bytes:
    return take_varint(rest);
  default:
    return std::nullopt;
  }
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> table = crc_table();
  uint32_t crc = ~0U;
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ table[(crc ^ static_cast<uint8_t>(byte)) & 0xffU];
  }
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8U; }

std::string tfrecord(std::string_view data) {
  std::string out;
  put_raw(out, static_cast<uint64_t>(data.size()));
  put_raw(out, masked_crc32c(out));
  out.append(data);
  put_raw(out, masked_crc32c(data));
  return out;
}

std::optional<std::string_view> first_tfrecord(std::string_view bytes) {
  if (bytes.size() < tfrecord_overhead || raw_at<uint32_t>(bytes, 8) != masked_crc32c(bytes.substr(0, 8))) {
    return std::nullopt;
  }
  const auto size = raw_at<uint64_t>(bytes, 0);
  if (size > bytes.size() - tfrecord_overhead) {
    return std::nullopt;
  }
  const std::string_view data = bytes.substr(12, size);
  if (raw_at<uint32_t>(bytes, 12 + size) != masked_crc32c(data)) {
    return std::nullopt;
  }
  return data;
}

void put_varint(std::string& out, int field, uint64_t value) {
  put_key(out, field, varint);
  put_varint_only(out, value);
}

void put_double(std::string& out, int field, double value) {
  put_key(out, field, fixed64);
  put_raw(out, value);
}

void put_float(std::string& out, int field, float value) {
  put_key(out, field, fixed32);
  put_raw(out, value);
}

void put_bytes(std::string& out, int field, std::string_view value) {
  put_key(out, field, bytes);
  put_varint_only(out, value.size());
  out.append(value);
}

std::optional<int64_t> event_step(std::string_view event) {
  constexpr uint64_t step_field = 2;
  int64_t step = 0;
  while (!event.empty()) {
    const std::optional<uint64_t> key = take_varint(event);
    if (!key) {
      return std::nullopt;
    }
    if ((*key & 7) == varint) {
      const std::optional<uint64_t> value = take_varint(event);
      if (!value) {
        return std::nullopt;
      }
      step = *key >> 3 == step_field ? static_cast<int64_t>(*value) : step;
      continue;
    }
    const std::optional<uint64_t> size = field_size(*key & 7, event);
    if (!size || *size > event.size()) {
      return std::nullopt;
    }
    event.remove_prefix(*size);
  }
  return step;
}

}  // namespace troupe::io
