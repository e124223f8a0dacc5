/// Parameters of a few values in the type that kernels compute in.
#pragma once

#include "base/copy_reals.hpp"
#include "base/reals.hpp"

#include <cstdint>
#include <vector>

namespace troupe::kernels::cpu {

/// Values in float32: where they lie, or a copy.
class as_floats {
public:
  as_floats(const_reals values, int64_t count) {
    if (values.type() == dtype::f32 || values == nullptr) {
      data_ = values.as<float>();
      return;
    }
    copy_.resize(static_cast<size_t>(count));
    copy_reals(values, copy_);
    data_ = copy_.data();
  }
  as_floats(const as_floats&) = delete;
  as_floats& operator=(const as_floats&) = delete;

  const float* data() const { return data_; }

private:
  std::vector<float> copy_;
  const float* data_ = nullptr;
};

}  // namespace troupe::kernels::cpu
