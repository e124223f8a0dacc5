/// Arrays on a card, and what is read back from them.
#pragma once

#include "base/device.hpp"
#include "base/reals.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::gpu_check {

/// Waits for all that was called.
inline void finish(device& card) { card.finish(card.record(queue::compute)); }

/// Numbers of a type that a card and the host both have: the host's are the same values in float32.
struct operand {
  std::vector<float> host;
  reals card;
};

/// Gone with their owner.
class card_arrays {
public:
  explicit card_arrays(device& card) : card_(card) {}
  ~card_arrays() {
    for (std::byte* range : ranges_) {
      card_.free(range);
    }
  }
  card_arrays(const card_arrays&) = delete;
  card_arrays& operator=(const card_arrays&) = delete;

  std::byte* bytes(int64_t count);
  reals empty(int64_t count, dtype type) { return {bytes(count * size_of(type)), type}; }
  /// Rounded to the type.
  reals upload(std::span<const float> values, dtype type);
  template <class T> T* upload_as_is(std::span<const T> values) {
    std::byte* const at = bytes(static_cast<int64_t>(values.size_bytes()));
    send(at, values.data(), static_cast<int64_t>(values.size_bytes()));
    return reinterpret_cast<T*>(at);
  }

  /// Uniform in [-scale, scale), rounded to the type; a function of `stream`.
  operand random(int64_t count, dtype type, uint64_t stream, double scale = 1.0);
  operand zeros(int64_t count, dtype type);

  std::vector<float> read(const_reals values, int64_t count);
  template <class T> std::vector<T> read_as_is(const T* values, int64_t count) {
    std::vector<T> all(static_cast<size_t>(count));
    fetch(all.data(), values, count * static_cast<int64_t>(sizeof(T)));
    return all;
  }

private:
  void send(std::byte* to, const void* from, int64_t count);
  void fetch(void* to, const void* from, int64_t count);

  device& card_;
  std::vector<std::byte*> ranges_;
};

/// Uniform in [-scale, scale).
std::vector<float> random_values(int64_t count, uint64_t stream, double scale = 1.0);

/// What is kept of a value in that type.
float rounded(float value, dtype type);

/// Whether all bits are alike: 0 is not -0, a NaN is itself.
bool same_bits(std::span<const float> a, std::span<const float> b);

/// sum (a - b)^2 / sum b^2.
double relative_error(std::span<const float> a, std::span<const float> b);

}  // namespace troupe::gpu_check
