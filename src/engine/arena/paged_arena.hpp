/// An arena whose memory comes and goes by the page: a range takes memory when it is first written, and gives it back
/// when it is released. What was never written, or released, reads as zero. So a gradient can be computed as if there
/// was a whole arena for it, while only the segments in use are in memory. Pages are huge until something is
/// released: a part of a huge page would not go back.
#pragma once

#include <cstdint>

namespace troupe::engine {

class paged_arena {
public:
  paged_arena() = default;
  /// `size` floats.
  /// Errors  out_of_memory: no address space is left.
  explicit paged_arena(int64_t size);
  ~paged_arena();
  paged_arena(paged_arena&& other) noexcept;
  paged_arena& operator=(paged_arena&& other) noexcept;

  float* data() { return data_; }
  const float* data() const { return data_; }
  int64_t size() const { return size_; }

  /// Floats [first, last) are zero again; pages that lie wholly within go back to the system. Nothing where it is
  /// empty.
  void release(int64_t first, int64_t last);

private:
  float* data_ = nullptr;
  int64_t size_ = 0;
  bool releases_ = false;
};

}  // namespace troupe::engine
