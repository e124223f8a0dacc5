/// The activations in double, from the formulas of kernels/activation.hpp, and their slopes.
#pragma once

#include "kernels/activation.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe::test {

inline double activation_oracle(kernels::activation kind, double x) {
  using kernels::activation;
  switch (kind) {
  case activation::relu:
    return std::max(x, 0.0);
  case activation::gelu_tanh:
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  case activation::gelu_erf:
    return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
  case activation::silu:
    return x / (1 + std::exp(-x));
  }
  return NAN;
}

inline double activation_slope(kernels::activation kind, double x) {
  const double h = 1e-5;
  return (activation_oracle(kind, x + h) - activation_oracle(kind, x - h)) / (2 * h);
}

}  // namespace troupe::test
