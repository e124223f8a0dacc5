/// Memory for the numbers of passes, where they compute.
#pragma once

#include "base/aligned.hpp"
#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace troupe::engine {

/// Room in host memory, or on a card (which outlives it): it grows to the largest that was asked for, and stays.
class buffer {
public:
  buffer() = default;
  /// `holder`: who is named where a card's memory runs out.
  explicit buffer(std::string holder) : holder_(std::move(holder)) {}
  buffer(buffer&& other) noexcept;
  buffer& operator=(buffer&& other) noexcept;
  ~buffer();

  /// `count` numbers of `type`, of any contents, where `ctx` computes. What it held is gone where it has to grow.
  /// Errors  out_of_memory.
  reals room(context& ctx, dtype type, int64_t count);
  float* floats(context& ctx, int64_t count) { return room(ctx, dtype::f32, count); }
  /// The same for values that are no reals.
  std::byte* bytes(context& ctx, int64_t count);

  reals data() const { return {memory(), type_}; }  ///< as it was last asked for; null before
  bool empty() const { return size_bytes() == 0; }
  int64_t size_bytes() const { return on_ == nullptr ? host_.size() : card_bytes_; }

private:
  std::byte* memory() const { return on_ == nullptr ? const_cast<std::byte*>(host_.data()) : card_; }
  void give_back();

  aligned_buffer<std::byte> host_;
  device* on_ = nullptr;  ///< whose `card_` is
  std::byte* card_ = nullptr;
  int64_t card_bytes_ = 0;
  dtype type_ = dtype::f32;
  std::string holder_ = "buffers of passes";
};

}  // namespace troupe::engine
