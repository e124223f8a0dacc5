#include "support/emulation/matrix_unit.hpp"

#include "base/dtype.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace troupe::emulation {

namespace {

constexpr int products = 16;

/// magnitude * 2^(exponent - kept bits), with a sign: the point stands behind the bits that a unit keeps.
struct term {
  int64_t magnitude = 0;
  int exponent = 0;
  bool negative = false;
};

term term_of(float c, int kept_bits) {
  const auto bits = __builtin_bit_cast(uint32_t, c);
  const int exponent = static_cast<int>(bits >> 23 & 255U);
  const int64_t fraction = bits & 0x7FFFFFU;
  return {(exponent != 0 ? fraction | 0x800000 : fraction) << (kept_bits - 23), std::max(exponent, 1) - 127,
          (bits >> 31) != 0};
}

int exponent_bits(uint16_t value) { return value >> 7 & 255; }

term term_of(uint16_t a, uint16_t b, int kept_bits) {
  const auto significand = [](uint16_t value) {
    return static_cast<int64_t>((value & 127) | (exponent_bits(value) != 0 ? 128 : 0));
  };
  return {significand(a) * significand(b) << (kept_bits - 14),
          std::max(exponent_bits(a), 1) + std::max(exponent_bits(b), 1) - 254, ((a ^ b) & 0x8000) != 0};
}

/// sum * 2^exponent, cut towards zero.
float cut_to_float(int64_t sum, int exponent) {
  int64_t magnitude = std::abs(sum);
  while (magnitude >= int64_t{1} << 24) {
    magnitude >>= 1;
    ++exponent;
  }
  while (exponent < -149 && magnitude != 0) {
    magnitude >>= 1;
    ++exponent;
  }
  const float value = std::ldexp(static_cast<float>(magnitude), exponent);
  return sum < 0 ? -value : value;
}

bool finite(const uint16_t* values) {
  return std::all_of(values, values + products, [](uint16_t value) { return exponent_bits(value) != 255; });
}

/// Infinities and NaN come out as in any order of plain sums.
float plain_sum(const uint16_t* a, const uint16_t* b, float c) {
  for (int i = 0; i < products; ++i) {
    c += to_float(bf16{a[i]}) * to_float(bf16{b[i]});
  }
  return c;
}

/// c + the sum of `count` products.
float cut_sum(const uint16_t* a, const uint16_t* b, int count, float c, int kept_bits) {
  term all[products + 1];
  all[0] = term_of(c, kept_bits);
  int top = all[0].exponent;
  for (int i = 0; i < count; ++i) {
    all[i + 1] = term_of(a[i], b[i], kept_bits);
    top = std::max(top, all[i + 1].exponent);
  }
  int64_t sum = 0;
  for (int i = 0; i <= count; ++i) {
    const int64_t cut = all[i].magnitude >> std::min(top - all[i].exponent, 62);
    sum += all[i].negative ? -cut : cut;
  }
  return cut_to_float(sum, top - kept_bits);
}

}  // namespace

float dot_16(const uint16_t* a, const uint16_t* b, float c, matrix_unit unit) {
  if (!std::isfinite(c) || !finite(a) || !finite(b)) {
    return plain_sum(a, b, c);
  }
  if (unit == matrix_unit::hopper) {
    return cut_sum(a, b, products, c, 25);
  }
  constexpr int half = products / 2;
  const float first = cut_sum(a, b, half, c, 24);
  return std::isfinite(first) ? cut_sum(a + half, b + half, half, first, 24) : first;
}

}  // namespace troupe::emulation
