/// Owned storage aligned for SIMD and for streaming.
#pragma once

#include "base/error.hpp"
#include "base/huge_pages.hpp"
#include "base/round_up.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

namespace troupe {

/// `size` values of a trivial type, 64-byte aligned and zeroed; movable, not copyable. The allocation is rounded up
/// to whole cache lines, so that a full vector load of the last values stays inside. What is large enough to hold a
/// huge page begins with one.
template <class T> class aligned_buffer {
public:
  aligned_buffer() = default;
  explicit aligned_buffer(int64_t size) : size_(size) {
    const size_t bytes = round_up(static_cast<size_t>(size) * sizeof(T), size_t{64}) + 64;
    const bool large = bytes >= huge_page_bytes;
    void* memory = nullptr;  // aligned_alloc would ask for whole huge pages
    if (::posix_memalign(&memory, large ? huge_page_bytes : 64, bytes) != 0) {
      throw error(errc::out_of_memory, "cannot allocate {} bytes", bytes);
    }
    if (large) {
      prefer_huge_pages(memory, bytes);
    }
    std::memset(memory, 0, bytes);
    data_ = static_cast<T*>(memory);
  }
  aligned_buffer(aligned_buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  aligned_buffer& operator=(aligned_buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~aligned_buffer() { std::free(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }
  std::span<T> span() { return {data_, static_cast<size_t>(size_)}; }
  std::span<const T> span() const { return {data_, static_cast<size_t>(size_)}; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }

  /// At least `size` values, with any contents. Grows where it is smaller, and never shrinks.
  T* reserve(int64_t size) {
    if (size > size_) {
      *this = aligned_buffer(0);
      *this = aligned_buffer(size);
    }
    return data_;
  }

private:
  T* data_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace troupe
