/// The types of a GGUF file's tensors, and the values of their blocks. Internal to io.
/// Source  github.com/ggml-org/ggml, ggml.h (numbers), ggml-common.h (layouts).
#pragma once

#include "base/host_array.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe::io {

struct gguf_type {
  uint32_t id;
  const char* name;
  int64_t values, bytes;        ///< of a block; 0 bytes: known by name only
  dtype as_found = dtype::f32;  ///< of the values as they are read
  /// None: the values lie in the file as they are.
  void (*dequantise_block)(const std::byte* block, float* out) = nullptr;
};

/// Errors  unsupported: naming the tensor, its type and what is read.
const gguf_type& find_gguf_type(uint32_t id, const std::string& tensor, const std::string& where);

/// The values of whole blocks of a type that has a dequantise_block.
std::vector<float> dequantise(const gguf_type& type, std::span<const std::byte> bytes);

}  // namespace troupe::io
