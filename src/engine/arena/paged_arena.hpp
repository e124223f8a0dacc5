/// An arena whose memory comes and goes by the page: a range takes memory when it is first written, and gives it back
/// when it is released. What was never written, or released, reads as zero. So a gradient can be computed as if there
/// was a whole arena for it, while only the segments in use are in memory. Pages are huge until something is
/// released: a part of a huge page would not go back.
#pragma once

#include "base/reals.hpp"

#include <cstddef>
#include <cstdint>

namespace troupe::engine {

class paged_arena {
public:
  paged_arena() = default;
  /// `size` values of `type`: f32 or bf16.
  /// Errors  out_of_memory: no address space is left.
  explicit paged_arena(int64_t size, dtype type = dtype::f32);
  ~paged_arena();
  paged_arena(paged_arena&& other) noexcept;
  paged_arena& operator=(paged_arena&& other) noexcept;

  reals data() { return {data_, type_}; }
  const_reals data() const { return {data_, type_}; }
  int64_t size() const { return size_; }
  dtype type() const { return type_; }
  int64_t bytes() const { return size_ * size_of(type_); }

  /// Values [first, last) are zero again; pages that lie wholly within go back to the system. Nothing where it is
  /// empty.
  void release(int64_t first, int64_t last);

private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0;
  dtype type_ = dtype::f32;
  bool releases_ = false;
};

}  // namespace troupe::engine
