/// A pointer to real numbers that knows their type, for operands that may be float32 or bfloat16. Who has float32
/// passes its pointer as it is, and takes it out as it is.
#pragma once

#include "base/assert.hpp"
#include "base/dtype.hpp"
#include "base/host_device.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace troupe {

/// `Void` is void or const void.
template <class Void> class real_pointer {
  template <class T> using like = std::conditional_t<std::is_const_v<Void>, const T, T>;

public:
  real_pointer() = default;
  // NOLINTBEGIN(google-explicit-constructor): a float* is the usual case, and null is null.
  real_pointer(std::nullptr_t) {}
  real_pointer(like<float>* data) : data_(data) {}
  real_pointer(like<bf16>* data) : data_(data), type_(dtype::bf16) {}
  /// What may be written may be read.
  template <class Other>
  requires(std::is_same_v<const Other, Void> && !std::is_const_v<Other>) real_pointer(const real_pointer<Other>& other)
      : real_pointer(other.data(), other.type()) {}
  operator like<float>*() const { return as<float>(); }
  // NOLINTEND(google-explicit-constructor)
  real_pointer(Void* data, dtype type) : data_(data), type_(type) {}

  TROUPE_HD Void* data() const { return data_; }
  TROUPE_HD dtype type() const { return type_; }

  /// For float and bf16.
  template <class T> like<T>* as() const {
    TROUPE_ASSERT(data_ == nullptr || type_ == (std::is_same_v<T, float> ? dtype::f32 : dtype::bf16));
    return static_cast<like<T>*>(data_);
  }

  /// Counts elements.
  real_pointer operator+(int64_t count) const {
    return {static_cast<like<std::byte>*>(data_) + count * size_of(type_), type_};
  }
  friend bool operator==(const real_pointer& a, std::nullptr_t) { return a.data_ == nullptr; }

private:
  Void* data_ = nullptr;
  dtype type_ = dtype::f32;
};

using reals = real_pointer<void>;
using const_reals = real_pointer<const void>;

}  // namespace troupe
