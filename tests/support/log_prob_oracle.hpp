/// Log-probabilities and entropies of a language-model head in double, from the formulas of
/// kernels/log_prob.hpp alone; and their gradients.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::test {

struct head_problem {
  std::vector<double> x_ND, weight_VD, bias_V;
  std::vector<int32_t> target_N;
  int64_t d = 0, vocabulary = 0;
  double temperature = 1;
};

struct head_values {
  std::vector<double> logprob_N, entropy_N;
};

head_values log_prob_oracle(const head_problem& p);

struct head_gradients {
  std::vector<double> dx_ND, dweight_VD, dbias_V;
};

/// Of sum(dlogprob * logprob + dentropy * entropy).
head_gradients log_prob_backward_oracle(const head_problem& p, std::span<const double> dlogprob_N,
                                        std::span<const double> dentropy_N);

}  // namespace troupe::test
