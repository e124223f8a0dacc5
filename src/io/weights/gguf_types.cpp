#include "io/weights/gguf_types.hpp"

#include "base/error.hpp"
#include "io/files/byte_reader.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace troupe::io {
namespace {

constexpr int64_t block_values = 32;  // of every quantised type here

float half_at(const std::byte* p) {
  uint16_t bits = 0;
  std::memcpy(&bits, p, sizeof(bits));
  return half_to_float(bits);
}

void dequantise_q8_0(const std::byte* block, float* out) {
  const float d = half_at(block);
  for (int64_t i = 0; i < block_values; ++i) {
    out[i] = d * static_cast<float>(std::to_integer<int8_t>(block[2 + i]));
  }
}

/// The low nibbles are the first half of the block, the high ones the second.
void dequantise_q4_0(const std::byte* block, float* out) {
  const float d = half_at(block);
  for (int64_t i = 0; i < block_values / 2; ++i) {
    const auto pair = std::to_integer<int>(block[2 + i]);
    out[i] = d * static_cast<float>((pair & 15) - 8);
    out[i + block_values / 2] = d * static_cast<float>((pair >> 4) - 8);
  }
}

void dequantise_q4_1(const std::byte* block, float* out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int64_t i = 0; i < block_values / 2; ++i) {
    const auto pair = std::to_integer<int>(block[4 + i]);
    out[i] = d * static_cast<float>(pair & 15) + m;
    out[i + block_values / 2] = d * static_cast<float>(pair >> 4) + m;
  }
}

constexpr gguf_type types[] = {
    {0, "F32", 1, 4, dtype::f32},
    {1, "F16", 1, 2, dtype::f16},
    {2, "Q4_0", block_values, 18, dtype::f32, dequantise_q4_0},
    {3, "Q4_1", block_values, 20, dtype::f32, dequantise_q4_1},
    {6, "Q5_0", 1, 0},
    {7, "Q5_1", 1, 0},
    {8, "Q8_0", block_values, 34, dtype::f32, dequantise_q8_0},
    {10, "Q2_K", 1, 0},
    {11, "Q3_K", 1, 0},
    {12, "Q4_K", 1, 0},
    {13, "Q5_K", 1, 0},
    {14, "Q6_K", 1, 0},
    {20, "IQ4_NL", 1, 0},
    {23, "IQ4_XS", 1, 0},
    {30, "BF16", 1, 2, dtype::bf16},
};

}  // namespace

const gguf_type& find_gguf_type(uint32_t id, const std::string& tensor, const std::string& where) {
  const auto* found = std::find_if(std::begin(types), std::end(types), [&](const gguf_type& t) { return t.id == id; });
  if (found == std::end(types) || found->bytes == 0) {
    throw error(errc::unsupported,
                "{}: tensor {} has the type {} ({}); F32, F16, BF16, Q8_0, Q4_0 and Q4_1 are read: "
                "take such a file",
                where, excerpt(tensor), id, found == std::end(types) ? "unknown" : found->name);
  }
  return *found;
}

std::vector<float> dequantise(const gguf_type& type, std::span<const std::byte> bytes) {
  const size_t blocks = bytes.size() / static_cast<size_t>(type.bytes);
  std::vector<float> values(blocks * static_cast<size_t>(type.values));
  for (size_t i = 0; i < blocks; ++i) {
    type.dequantise_block(bytes.data() + i * static_cast<size_t>(type.bytes),
                          values.data() + i * static_cast<size_t>(type.values));
  }
  return values;
}

}  // namespace troupe::io
