/// What tests of a card's kernels share: each runs for both types of operands and three orders of threads.
#pragma once

#include "base/reals.hpp"
#include "support/emulation/emulated_card.hpp"
#include "support/emulation/evidence.hpp"
#include "support/random_values.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

namespace troupe::test {

/// An operand of a kernel: numbers of one type, in an array of exactly their size.
class operand {
public:
  /// Rounds the values to the type.
  operand(std::span<const float> values, dtype type) : type_(type) {
    for (const float value : values) {
      type == dtype::bf16 ? narrow_.push_back(to_bf16(value)) : wide_.push_back(value);
    }
  }

  reals data() { return type_ == dtype::bf16 ? reals(narrow_.data()) : reals(wide_.data()); }

  std::vector<float> values() const {
    std::vector<float> values = wide_;
    for (const bf16 value : narrow_) {
      values.push_back(to_float(value));
    }
    return values;
  }

  friend bool operator==(const operand& a, const operand& b) { return a.values() == b.values(); }

private:
  dtype type_;
  std::vector<float> wide_;
  std::vector<bf16> narrow_;
};

/// Twins on the host have float32 operands: of the same values.
inline operand widened(const operand& values) { return {values.values(), dtype::f32}; }

/// A card of its own, for tests that are not CardTests.
struct emulated_context {
  explicit emulated_context(emulation::thread_order order = emulation::thread_order::rising)
      : card(emulation::make_card({.threads = {.order = order, .seed = 7}})) {}

  thread_pool pool{1};
  std::unique_ptr<device> card;
  context ctx{pool, card.get()};
};

inline constexpr emulation::thread_order thread_orders[] = {
    emulation::thread_order::rising, emulation::thread_order::falling, emulation::thread_order::shuffled};

/// For comparisons that tell 0 from -0, and take a NaN for itself.
inline std::vector<uint32_t> bits(std::span<const float> values) {
  std::vector<uint32_t> all;
  for (const float value : values) {
    all.push_back(std::bit_cast<uint32_t>(value));
  }
  return all;
}

/// Whether an error against an oracle in double is below its limit. Both are noted for the report of all tests.
inline testing::AssertionResult below_limit(const emulation::oracle_error& one) {
  emulation::note_error(one);
  if (one.error < one.limit) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << one.operation << " in " << one.type << ": the " << one.measure << " error is "
                                     << one.error << ", the limit " << one.limit;
}

/// By relative_error, which is normalised by the size of the oracle's values.
inline testing::AssertionResult near_oracle(const char* operation, dtype type, std::span<const float> got,
                                            std::span<const double> want, double limit) {
  return below_limit({.operation = operation,
                      .type = to_string(type),
                      .measure = "normalised",
                      .limit = limit,
                      .error = relative_error(got, want),
                      .values = static_cast<int64_t>(got.size())});
}

inline double largest_difference(std::span<const float> a, std::span<const double> b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    largest = difference <= largest ? largest : difference;  // NaN stays
  }
  return largest;
}

/// By the largest difference.
inline testing::AssertionResult each_near_oracle(const char* operation, dtype type, std::span<const float> got,
                                                 std::span<const double> want, double limit) {
  return below_limit({.operation = operation,
                      .type = to_string(type),
                      .measure = "largest",
                      .limit = limit,
                      .error = largest_difference(got, want),
                      .values = static_cast<int64_t>(got.size())});
}

/// The type of operands, and the order in which the card's threads run.
class CardTest : public testing::TestWithParam<std::tuple<dtype, emulation::thread_order>> {
protected:
  dtype type() const { return std::get<0>(GetParam()); }
  operand random_operand(int64_t count, uint64_t stream, double scale = 1.0) const {
    return {random_values(count, stream, scale), type()};
  }
  operand empty_operand(int64_t count) const { return {std::vector<float>(static_cast<size_t>(count)), type()}; }

  /// Of the normalised error against an oracle: in bfloat16 one rounding, of 2^-8 at most; in float32 some sixteen.
  double error_limit() const { return type() == dtype::bf16 ? 0x1p-16 : 1e-12; }

  /// Against an oracle, and against what the host's kernel gives.
  void expect_near(const char* operation, const operand& got, const std::vector<double>& want,
                   const operand& twin) const {
    EXPECT_TRUE(near_oracle(operation, type(), got.values(), want, error_limit()));
    EXPECT_LT(relative_error(got.values(), to_double(twin.values())), error_limit());
  }

  thread_pool pool{2};
  std::unique_ptr<device> card = emulation::make_card({.threads = {.order = std::get<1>(GetParam()), .seed = 11}});
  context on_card{pool, card.get()};
  context on_host{pool};
};

inline auto card_cases() {
  using emulation::thread_order;
  return testing::Combine(testing::Values(dtype::f32, dtype::bf16),
                          testing::Values(thread_order::rising, thread_order::falling, thread_order::shuffled));
}

inline std::string card_case_name(const testing::TestParamInfo<CardTest::ParamType>& info) {
  constexpr const char* orders[] = {"Rising", "Falling", "Shuffled"};
  return to_string(std::get<0>(info.param)) + std::string(orders[static_cast<size_t>(std::get<1>(info.param))]);
}

}  // namespace troupe::test
