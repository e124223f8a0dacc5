/// Causal attention in double, from the formula of kernels/attention.hpp alone: plain loops over a
/// full row of scores.
#pragma once

#include "kernels/attention.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::test {

struct attention_problem {
  const char* name;
  int64_t heads, kv_heads, head_width;
  std::vector<int64_t> offset_B1;
  bool alibi = false;
  double amplitude = 1;  ///< of queries and keys: 100 makes scores of +-1e4 and more
};

/// `slope_H` becomes ALiBi's, which the shape of a problem with it points to.
kernels::attention_shape shape_of(const attention_problem& p, std::vector<float>& slope_H);

struct attention_values {
  std::vector<double> out_NHK;
  std::vector<double> lse_NH;
};

attention_values attention_oracle(const kernels::attention_shape& shape, std::span<const double> qkv_NE,
                                  std::span<const int64_t> offset_B1);

/// The gradient with respect to qkv of sum(out * dout).
std::vector<double> attention_backward_oracle(const kernels::attention_shape& shape, std::span<const double> qkv_NE,
                                              std::span<const double> dout_NHK, std::span<const int64_t> offset_B1);

}  // namespace troupe::test
