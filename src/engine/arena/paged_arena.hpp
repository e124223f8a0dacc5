/// An arena whose memory comes and goes by the page: a range takes memory when it is needed, and gives it back when it
/// is released. What was never written, or released, reads as zero. So a gradient can be computed as if there was a
/// whole arena for it, while only the segments in use are in memory.
///
/// Host     A range is needed when it is first written. Pages are huge until something is released: a part of a huge
///          page would not go back.
/// Card     A range is needed when somebody says so (`take`), before anything reads or writes it: a card's pages do
///          not come by themselves. Zeros are written, and pages leave, in the order of the compute queue.
#pragma once

#include "base/reals.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace troupe {
class device;
}

namespace troupe::engine {

/// Where an arena lies.
struct arena_place {
  device* on = nullptr;  ///< a card, which outlives the arena; null: host memory
  std::string holder{};  ///< of its memory, where a card's runs out: "policy moments"
};

class paged_arena {
public:
  paged_arena() = default;
  /// `size` values of `type`: f32 or bf16.
  /// Errors  out_of_memory: no address space is left.
  explicit paged_arena(int64_t size, dtype type = dtype::f32, const arena_place& at = {});
  ~paged_arena();
  paged_arena(paged_arena&& other) noexcept;
  paged_arena& operator=(paged_arena&& other) noexcept;

  reals data() { return {data_, type_}; }
  const_reals data() const { return {data_, type_}; }
  int64_t size() const { return size_; }
  dtype type() const { return type_; }
  int64_t bytes() const { return size_ * size_of(type_); }
  device* on() const { return on_; }  ///< null: host memory
  /// Of float32 in host memory.
  std::span<float> span() { return {data().as<float>(), static_cast<size_t>(size_)}; }

  /// Values [first, last) can be read and written: those that were not before are zero. On the host they always can.
  /// Errors  out_of_memory: who holds how much of the card.
  void take(int64_t first, int64_t last);

  /// Values [first, last) are zero again; pages that lie wholly within go back. Nothing where it is empty.
  void release(int64_t first, int64_t last);

  /// Values [first, last) are zero again, and their pages stay.
  void clear(int64_t first, int64_t last);

private:
  void swap(paged_arena& other) noexcept;
  void release_host(int64_t begin, int64_t end);
  void release_card(int64_t begin, int64_t end);
  void clear_bytes(int64_t begin, int64_t end);

  std::byte* data_ = nullptr;
  int64_t size_ = 0;
  dtype type_ = dtype::f32;
  bool releases_ = false;
  device* on_ = nullptr;
  std::vector<bool> taken_P_;  ///< on a card: its pages
};

}  // namespace troupe::engine
