/// Seeded test inputs and the error measure of kernel tests.
#pragma once

#include "base/host_array.hpp"
#include "base/random.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::test {

/// Uniform in [-scale, scale), a function of `stream` and nothing else.
inline std::vector<float> random_values(int64_t count, uint64_t stream, double scale = 1.0) {
  std::vector<float> values(static_cast<size_t>(count));
  const random_key key{.seed = 1, .stream = stream, .purpose = random_purpose::test};
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((2.0 * random_uniform(key, i) - 1.0) * scale);
  }
  return values;
}

/// Rounds the values to bfloat16, and gives them in that type.
inline std::vector<bf16> round_to_bf16(std::vector<float>& values) {
  std::vector<bf16> narrow;
  for (float& value : values) {
    narrow.push_back(to_bf16(value));
    value = to_float(narrow.back());
  }
  return narrow;
}

inline std::vector<double> to_double(std::span<const float> values) { return {values.begin(), values.end()}; }

/// sum (a - b)^2 / sum b^2, b the oracle; 0 for nothing.
inline double relative_error(std::span<const float> a, std::span<const double> b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    size += b[i] * b[i];
  }
  return difference == 0 ? 0 : difference / size;
}

}  // namespace troupe::test
