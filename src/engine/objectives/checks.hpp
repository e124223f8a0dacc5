/// Checks that the objectives share. Private to this folder.
#pragma once

#include "base/error.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace troupe::engine {

/// Errors  shape_mismatch, naming both.
inline void check_size(std::string_view name, size_t size, std::string_view like, size_t expected) {
  if (size != expected) {
    throw error(errc::shape_mismatch, "{} has {} elements, {} has {}: they must agree", name, size, like, expected);
  }
}

/// B + 1 rising offsets from 0 to `total`.
/// Errors  shape_mismatch.
void check_offsets(std::span<const int64_t> offset_B1, size_t total, std::string_view of);

/// Errors  not_finite, naming the element.
inline void check_finite(double value, std::string_view name, size_t index) {
  if (!std::isfinite(value)) {
    throw error(errc::not_finite, "{}[{}] is {}: the model has diverged or its input is damaged", name, index, value);
  }
}

}  // namespace troupe::engine
