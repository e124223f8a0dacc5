#include "base/error.hpp"
#include "base/host_array.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace troupe {
namespace {

/// The value of a float format with `fraction_bits`, written from the IEEE definition.
double decode(uint32_t bits, int exponent_bits, int fraction_bits) {
  const int exponent = static_cast<int>(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction = std::ldexp(bits & ((1U << fraction_bits) - 1), -fraction_bits);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double sign = (bits >> (exponent_bits + fraction_bits)) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction == 0 ? sign * INFINITY : NAN;
  }
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias));
}

struct format {
  int exponent_bits, fraction_bits;
  float (*to_float)(uint16_t);
  uint16_t (*from_float)(float);
};

class SixteenBitTest : public testing::TestWithParam<format> {};

TEST_P(SixteenBitTest, EveryPatternBecomesItsValueAndComesBack) {
  const format& f = GetParam();
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const double want = decode(bits, f.exponent_bits, f.fraction_bits);
    const float got = f.to_float(static_cast<uint16_t>(bits));
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
      ASSERT_TRUE(std::isnan(f.to_float(f.from_float(got)))) << bits;
    } else {
      ASSERT_EQ(got, want) << bits;
      ASSERT_EQ(std::signbit(got), std::signbit(want)) << bits;
      ASSERT_EQ(f.from_float(got), bits);
    }
  }
}

TEST_P(SixteenBitTest, RoundingIsToNearestAndTiesGoToEven) {
  const format& f = GetParam();
  const uint32_t infinity = ((1U << f.exponent_bits) - 1) << f.fraction_bits;
  for (uint32_t bits = 0; bits < infinity; ++bits) {
    const double low = decode(bits, f.exponent_bits, f.fraction_bits);
    // past the largest finite value the next step would be a power of 2: rounding goes to infinity
    // half-way there
    const double high = bits + 1 < infinity ? decode(bits + 1, f.exponent_bits, f.fraction_bits)
                                            : 2 * low - decode(bits - 1, f.exponent_bits, f.fraction_bits);
    const auto middle = static_cast<float>((low + high) / 2);
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(f.from_float(middle), even) << bits;
    ASSERT_EQ(f.from_float(-middle), even | 0x8000U) << bits;
    ASSERT_EQ(f.from_float(std::nextafter(middle, 0.0F)), bits) << bits;
    ASSERT_EQ(f.from_float(std::nextafter(middle, INFINITY)), bits + 1) << bits;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, SixteenBitTest,
                         testing::Values(format{5, 10, half_to_float, float_to_half},
                                         format{8, 7, [](uint16_t bits) { return to_float(bf16{bits}); },
                                                [](float value) { return to_bf16(value).bits; }}),
                         [](const auto& info) { return info.param.fraction_bits == 10 ? "half" : "bfloat16"; });

TEST(HostArrayTest, OwnsItsValuesAndKnowsItsSize) {
  host_array copy;
  {
    const host_array array = make_host_array("w", {2, 3}, {1, 2, 3, 4, 5, 6});
    copy = array;
  }
  EXPECT_EQ(copy.elements(), 6);
  EXPECT_EQ(to_float32(copy), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(make_host_array("x", {}, {1}).elements(), 1);
  EXPECT_EQ(make_host_array("x", {0, 4}, {}).elements(), 0);
}

TEST(HostArrayTest, EveryFloatTypeIsConverted) {
  const std::vector<double> doubles = {0.5, -2.0};
  const std::vector<uint16_t> halves = {0x3800, 0xC000};
  const std::vector<uint16_t> brains = {0x3F00, 0xC000};
  const std::vector<float> want = {0.5F, -2.0F};
  const auto converted = [](dtype type, std::span<const std::byte> bytes) {
    return to_float32({.name = "x", .type = type, .shape = {2}, .bytes = bytes, .owner = nullptr});
  };
  EXPECT_EQ(converted(dtype::f64, std::as_bytes(std::span(doubles))), want);
  EXPECT_EQ(converted(dtype::f16, std::as_bytes(std::span(halves))), want);
  EXPECT_EQ(converted(dtype::bf16, std::as_bytes(std::span(brains))), want);
}

TEST(HostArrayTest, WrongSizesAndIntegersAreErrors) {
  const std::vector<int32_t> values = {1, 2};
  const auto bytes = std::as_bytes(std::span(values));
  const auto code_of = [&](dtype type, int64_t count) {
    try {
      to_float32({.name = "x", .type = type, .shape = {count}, .bytes = bytes, .owner = nullptr});
    } catch (const error& e) {
      return e.code();
    }
    return errc::interrupted;
  };
  EXPECT_EQ(code_of(dtype::i32, 2), errc::unsupported);
  EXPECT_EQ(code_of(dtype::f32, 3), errc::shape_mismatch);
  EXPECT_THROW(make_host_array("w", {2, 2}, {1, 2, 3}), error);
}

TEST(HostArrayTest, TypesHaveSizesAndNames) {
  EXPECT_EQ(size_of(dtype::f32), 4);
  EXPECT_EQ(size_of(dtype::bf16), 2);
  EXPECT_EQ(size_of(dtype::boolean), 1);
  EXPECT_EQ(std::string(to_string(dtype::bf16)), "bf16");
  EXPECT_EQ(std::string(to_string(dtype::boolean)), "bool");
}

}  // namespace
}  // namespace troupe
