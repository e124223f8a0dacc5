#include "support/log_prob_oracle.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::test {

/// log p of every token, for one row.
static std::vector<double> log_softmax(const head_problem& p, size_t row) {
  const auto d = static_cast<size_t>(p.d);
  std::vector<double> z(static_cast<size_t>(p.vocabulary));
  for (size_t v = 0; v < z.size(); ++v) {
    z[v] = p.bias_V[v];
    for (size_t i = 0; i < d; ++i) {
      z[v] += p.x_ND[row * d + i] * p.weight_VD[v * d + i];
    }
    z[v] /= p.temperature;
  }
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (const double value : z) {
    sum += std::exp(value - top);
  }
  for (double& value : z) {
    value -= top + std::log(sum);
  }
  return z;
}

static double entropy_of(const std::vector<double>& log_p) {
  double entropy = 0;
  for (const double value : log_p) {
    entropy -= std::exp(value) * value;
  }
  return entropy;
}

head_values log_prob_oracle(const head_problem& p) {
  head_values values;
  for (size_t row = 0; row < p.target_N.size(); ++row) {
    const std::vector<double> log_p = log_softmax(p, row);
    values.logprob_N.push_back(log_p[static_cast<size_t>(p.target_N[row])]);
    values.entropy_N.push_back(entropy_of(log_p));
  }
  return values;
}

head_gradients log_prob_backward_oracle(const head_problem& p, std::span<const double> dlogprob_N,
                                        std::span<const double> dentropy_N) {
  const auto d = static_cast<size_t>(p.d);
  head_gradients g{std::vector<double>(p.x_ND.size()), std::vector<double>(p.weight_VD.size()),
                   std::vector<double>(p.bias_V.size())};
  for (size_t row = 0; row < p.target_N.size(); ++row) {
    const std::vector<double> log_p = log_softmax(p, row);
    const double entropy = entropy_of(log_p);
    for (size_t v = 0; v < log_p.size(); ++v) {
      const double probability = std::exp(log_p[v]);
      const double hit = static_cast<size_t>(p.target_N[row]) == v ? 1.0 : 0.0;
      const double dz = (dlogprob_N[row] * (hit - probability) - dentropy_N[row] * probability * (log_p[v] + entropy)) /
                        p.temperature;
      g.dbias_V[v] += dz;
      for (size_t i = 0; i < d; ++i) {
        g.dx_ND[row * d + i] += dz * p.weight_VD[v * d + i];
        g.dweight_VD[v * d + i] += dz * p.x_ND[row * d + i];
      }
    }
  }
  return g;
}

}  // namespace troupe::test
