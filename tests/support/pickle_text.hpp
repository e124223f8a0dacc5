/// Pickles of tensors, written opcode by opcode.
#pragma once

#include <cstdint>
#include <string>

namespace troupe::test::pickle {

inline std::string text(const std::string& value) {
  return "\x8c" + std::string(1, static_cast<char>(value.size())) + value;
}

inline std::string integer(uint16_t value) {
  return {'M', static_cast<char>(value & 255), static_cast<char>(value >> 8)};
}

inline std::string pair(uint16_t a, uint16_t b) { return integer(a) + integer(b) + "\x86"; }

/// _rebuild_tensor_v2 of a storage of 24 floats.
inline std::string tensor(uint16_t offset, const std::string& shape, const std::string& stride) {
  const std::string storage =
      "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer(24) + "tQ";
  const std::string hooks = "ccollections\nOrderedDict\n)R";
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + shape + stride + "\x89" + hooks + "tR";
}

inline std::string state_dict(const std::string& items) { return "\x80\x02}(" + items + "u."; }

}  // namespace troupe::test::pickle
