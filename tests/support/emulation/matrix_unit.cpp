#include "support/emulation/matrix_unit.hpp"

#include "base/dtype.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace troupe::emulation {

namespace {

constexpr int kept_bits = 25;  ///< behind the point of the term with the largest exponent
constexpr int terms = 17;

/// magnitude * 2^(exponent - kept_bits), with a sign: the point stands behind bit `kept_bits`.
struct term {
  int64_t magnitude = 0;
  int exponent = 0;
  bool negative = false;
};

term term_of(float c) {
  const auto bits = __builtin_bit_cast(uint32_t, c);
  const int exponent = static_cast<int>(bits >> 23 & 255U);
  const int64_t fraction = bits & 0x7FFFFFU;
  return {(exponent != 0 ? fraction | 0x800000 : fraction) << (kept_bits - 23), std::max(exponent, 1) - 127,
          (bits >> 31) != 0};
}

int exponent_bits(uint16_t value) { return value >> 7 & 255; }

term term_of(uint16_t a, uint16_t b) {
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
  return std::all_of(values, values + 16, [](uint16_t value) { return exponent_bits(value) != 255; });
}

/// Infinities and NaN come out as in any order of plain sums.
float plain_sum(const uint16_t* a, const uint16_t* b, float c) {
  for (int i = 0; i < 16; ++i) {
    c += to_float(bf16{a[i]}) * to_float(bf16{b[i]});
  }
  return c;
}

}  // namespace

float dot_16(const uint16_t* a, const uint16_t* b, float c) {
  if (!std::isfinite(c) || !finite(a) || !finite(b)) {
    return plain_sum(a, b, c);
  }
  term all[terms];
  for (int i = 0; i < 16; ++i) {
    all[i] = term_of(a[i], b[i]);
  }
  all[16] = term_of(c);
  int top = INT32_MIN;
  for (const term& one : all) {
    top = one.magnitude != 0 ? std::max(top, one.exponent) : top;
  }
  if (top == INT32_MIN) {
    return 0.0F;
  }
  int64_t sum = 0;
  for (const term& one : all) {
    const int64_t cut = one.magnitude >> std::min(std::max(top - one.exponent, 0), 62);
    sum += one.negative ? -cut : cut;
  }
  return cut_to_float(sum, top - kept_bits);
}

}  // namespace troupe::emulation
