#include "base/random.hpp"

#include <Random123/philox.h>

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace troupe {

std::array<uint32_t, 4> random_words(const random_key& key, uint64_t counter) {
  // The key takes seed and purpose, the counter takes stream and counter: all 64 bits of each of
  // the latter two, so distinct (stream, counter) never collide under one seed and purpose.
  const uint64_t mixed = key.seed + 0x9E3779B97F4A7C15ULL * static_cast<uint32_t>(key.purpose);
  const r123::Philox4x32::key_type k = {{static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)}};
  const r123::Philox4x32::ctr_type c = {{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32),
                                         static_cast<uint32_t>(key.stream), static_cast<uint32_t>(key.stream >> 32)}};
  const auto words = r123::Philox4x32()(c, k);
  return {words[0], words[1], words[2], words[3]};
}

static double to_unit(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32) | low;
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

double random_uniform(const random_key& key, uint64_t counter) {
  const auto words = random_words(key, counter);
  return to_unit(words[0], words[1]);
}

double random_normal(const random_key& key, uint64_t counter) {
  const auto words = random_words(key, counter);
  const double radius = std::sqrt(-2.0 * std::log(1.0 - to_unit(words[0], words[1])));
  return radius * std::cos(2.0 * std::numbers::pi * to_unit(words[2], words[3]));
}

/// Uniform in [0, bound) by rejection (Lemire's method would save a division nobody would notice).
static uint64_t below(const random_key& key, uint64_t& counter, uint64_t bound) {
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  for (;;) {
    const auto words = random_words(key, counter++);
    const uint64_t bits = (static_cast<uint64_t>(words[0]) << 32) | words[1];
    if (bits < limit) {
      return bits % bound;
    }
  }
}

std::vector<int64_t> random_permutation(const random_key& key, int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  uint64_t counter = 0;
  for (int64_t i = n - 1; i > 0; --i) {
    const auto j = static_cast<int64_t>(below(key, counter, static_cast<uint64_t>(i) + 1));
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(j)]);
  }
  return order;
}

}  // namespace troupe
