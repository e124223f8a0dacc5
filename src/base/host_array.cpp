#include "base/host_array.hpp"

#include "base/error.hpp"

#include <bit>
#include <cmath>
#include <cstring>

namespace troupe {

int64_t host_array::elements() const {
  int64_t n = 1;
  for (const int64_t extent : shape) {
    n *= extent;
  }
  return n;
}

float half_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1FU;
  const uint32_t fraction = bits & 0x3FFU;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1.0p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 255U : exponent + 112U;
  return std::bit_cast<float>(sign | (wide << 23) | (fraction << 13));
}

uint16_t float_to_half(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) {
    return static_cast<uint16_t>(sign | 0x7E00U);
  }
  if (magnitude >= 65520.0F) {  // rounds to infinity
    return static_cast<uint16_t>(sign | 0x7C00U);
  }
  if (magnitude < 0x1.0p-14F) {  // subnormal half: the sum below rounds to a multiple of 2^-24
    const float shifted = magnitude + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000U));
  }
  uint32_t rounded = std::bit_cast<uint32_t>(magnitude);
  rounded += 0xFFFU + ((rounded >> 13) & 1U);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

template <class Stored, class Convert>
static void convert(std::span<const std::byte> bytes, std::vector<float>& out, Convert to_float) {
  for (size_t i = 0; i < out.size(); ++i) {
    Stored value;
    std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
    out[i] = to_float(value);
  }
}

std::vector<float> to_float32(const host_array& array) {
  std::vector<float> out(static_cast<size_t>(array.elements()));
  if (array.bytes.size() != out.size() * static_cast<size_t>(size_of(array.type))) {
    throw error(errc::shape_mismatch, "tensor {} has {} bytes, its shape needs {}", array.name, array.bytes.size(),
                out.size() * static_cast<size_t>(size_of(array.type)));
  }
  switch (array.type) {
  case dtype::f32:
    if (!out.empty()) {  // memcpy takes no null pointer, not even for nothing
      std::memcpy(out.data(), array.bytes.data(), array.bytes.size());
    }
    return out;
  case dtype::f64:
    convert<double>(array.bytes, out, [](double v) { return static_cast<float>(v); });
    return out;
  case dtype::f16:
    convert<uint16_t>(array.bytes, out, half_to_float);
    return out;
  case dtype::bf16:
    convert<bf16>(array.bytes, out, [](bf16 v) { return to_float(v); });
    return out;
  case dtype::i64:
  case dtype::i32:
  case dtype::i16:
  case dtype::i8:
  case dtype::u64:
  case dtype::u32:
  case dtype::u16:
  case dtype::u8:
  case dtype::boolean:
    break;
  }
  throw error(errc::unsupported, "tensor {} has type {}: weights are f32, f16, bf16 or f64", array.name,
              to_string(array.type));
}

host_array make_host_array(std::string name, std::vector<int64_t> shape, std::vector<float> values) {
  auto storage = std::make_shared<std::vector<float>>(std::move(values));
  host_array array{.name = std::move(name),
                   .type = dtype::f32,
                   .shape = std::move(shape),
                   .bytes = std::as_bytes(std::span(*storage)),
                   .owner = storage};
  if (array.elements() != static_cast<int64_t>(storage->size())) {
    throw error(errc::shape_mismatch, "array {} has {} values, its shape needs {}", array.name, storage->size(),
                array.elements());
  }
  return array;
}

}  // namespace troupe
