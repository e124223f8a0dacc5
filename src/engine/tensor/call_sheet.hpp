/// The small arrays of a call (tokens, positions, offsets, page tables) where the call computes.
#pragma once

#include "base/context.hpp"
#include "base/device.hpp"
#include "engine/tensor/buffer.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

namespace troupe::engine {

/// Gathers arrays in host memory and sends all of them to a card in one copy, for which the host does not wait. Where a
/// call computes on the host, they stay there.
///   sheet.begin(); const size_t tokens = sheet.add(token_N); ...; sheet.send(ctx); ... sheet.at<int32_t>(tokens) ...
class call_sheet {
public:
  /// What was sent before is gone.
  void begin() { staged_.clear(); }

  /// Where in the sheet the copy of `values` is.
  template <class T> size_t add(std::span<const T> values) {
    const size_t place = (staged_.size() + alignment - 1) / alignment * alignment;
    staged_.resize(place + values.size_bytes());
    if (!values.empty()) {
      std::memcpy(staged_.data() + place, values.data(), values.size_bytes());
    }
    return place;
  }

  /// What was added there, to be changed; until something else is added.
  template <class T> std::span<T> staged(size_t place, size_t count) {
    return {reinterpret_cast<T*>(staged_.data() + place), count};
  }

  /// Errors  out_of_memory, device_failure.
  void send(context& ctx);

  /// After send, until the next begin.
  template <class T> const T* at(size_t place) const { return reinterpret_cast<const T*>(sent_ + place); }

private:
  static constexpr size_t alignment = 16;

  /// What a copy that may be under way reads.
  struct source {
    std::unique_ptr<pinned_memory> memory;
    mark copied = 0;
  };

  std::vector<std::byte> staged_;
  const std::byte* sent_ = nullptr;
  buffer on_card_;
  std::array<source, 4> sources_;  ///< in turn, so that the host seldom waits for a card that is behind
  size_t next_ = 0;
};

}  // namespace troupe::engine
