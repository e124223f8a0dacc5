/// Numbers of one type or the other, in host memory, from and to float32.
#pragma once

#include "base/reals.hpp"

#include <algorithm>
#include <span>

namespace troupe {

/// `to` := `from`; in bfloat16 the nearest (to_bf16).
inline void copy_reals(std::span<const float> from, reals to) {
  if (to.type() == dtype::bf16) {
    std::transform(from.begin(), from.end(), to.as<bf16>(), to_bf16);
  } else {
    std::copy(from.begin(), from.end(), to.as<float>());
  }
}

/// `to` := `from`, as many as `to` has.
inline void copy_reals(const_reals from, std::span<float> to) {
  if (from.type() == dtype::bf16) {
    const bf16* values = from.as<bf16>();
    std::transform(values, values + to.size(), to.begin(), [](bf16 value) { return to_float(value); });
  } else {
    std::copy_n(from.as<float>(), to.size(), to.begin());
  }
}

}  // namespace troupe
