/// Types of the elements of arrays, in memory and in files.
#pragma once

#include "base/host_device.hpp"

#include <cstdint>

namespace troupe {

enum class dtype : uint8_t { f32, f16, bf16, f64, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

TROUPE_HD constexpr int64_t size_of(dtype type) {
  switch (type) {
  case dtype::f64:
  case dtype::i64:
  case dtype::u64:
    return 8;
  case dtype::f32:
  case dtype::i32:
  case dtype::u32:
    return 4;
  case dtype::f16:
  case dtype::bf16:
  case dtype::i16:
  case dtype::u16:
    return 2;
  case dtype::i8:
  case dtype::u8:
  case dtype::boolean:
    return 1;
  }
  return 0;
}

const char* to_string(dtype type);  ///< "f32", "bf16", ...

/// A bfloat16: the upper half of a float.
struct bf16 {
  uint16_t bits = 0;
};

TROUPE_HD inline float to_float(bf16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}
TROUPE_HD inline float to_float(float value) { return value; }

/// The nearest bfloat16, of two as near the one with an even last bit. NaN stays NaN.
TROUPE_HD inline bf16 to_bf16(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  if (value != value) {
    return {static_cast<uint16_t>((bits >> 16) | 0x40U)};
  }
  return {static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
}

}  // namespace troupe
