/// A named array in host memory as files hold it: how io hands tensors to the engine and back.
#pragma once

#include "base/dtype.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// Row-major bytes, little-endian. `owner` keeps them alive (a mapped file, a vector); copies share them.
struct host_array {
  std::string name;
  dtype type = dtype::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  int64_t elements() const;
};

/// Row-major float32 copy.
/// Errors  unsupported for integer types.
std::vector<float> to_float32(const host_array& array);

/// An array that owns a copy of `values`.
/// Errors  shape_mismatch.
host_array make_host_array(std::string name, std::vector<int64_t> shape, std::vector<float> values);

/// How the engine asks for a weight by its name in the file; empty where there is none of that name.
using array_finder = std::function<std::optional<host_array>(const std::string& name)>;

/// Bits of IEEE half to float, exactly; and back, to nearest even. (Of bfloat16: dtype.hpp.)
float half_to_float(uint16_t bits);
uint16_t float_to_half(float value);

}  // namespace troupe
