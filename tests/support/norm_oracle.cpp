#include "support/norm_oracle.hpp"

#include <cmath>

namespace troupe::test {
namespace {

struct row_statistics {
  double mean = 0, rstd = 0;
};

row_statistics statistics(norm_kind kind, std::span<const double> x_D, double epsilon) {
  const auto width = static_cast<double>(x_D.size());
  row_statistics s;
  if (kind == norm_kind::layer) {
    for (const double x : x_D) {
      s.mean += x / width;
    }
  }
  double square = 0;
  for (const double x : x_D) {
    square += (x - s.mean) * (x - s.mean) / width;
  }
  s.rstd = 1 / std::sqrt(square + epsilon);
  return s;
}

}  // namespace

std::vector<double> norm_oracle(norm_kind kind, std::span<const double> x_ND, std::span<const double> gamma_D,
                                std::span<const double> beta_D, double epsilon) {
  const size_t d = gamma_D.size();
  std::vector<double> y;
  for (size_t row = 0; row < x_ND.size() / d; ++row) {
    const auto x = x_ND.subspan(row * d, d);
    const row_statistics s = statistics(kind, x, epsilon);
    for (size_t i = 0; i < d; ++i) {
      y.push_back((x[i] - s.mean) * s.rstd * gamma_D[i] + (kind == norm_kind::layer ? beta_D[i] : 0.0));
    }
  }
  return y;
}

norm_gradients norm_backward_oracle(norm_kind kind, std::span<const double> x_ND, std::span<const double> gamma_D,
                                    std::span<const double> dy_ND, double epsilon) {
  const size_t d = gamma_D.size();
  norm_gradients g{std::vector<double>(x_ND.size()), std::vector<double>(d), std::vector<double>(d)};
  for (size_t row = 0; row < x_ND.size() / d; ++row) {
    const auto x = x_ND.subspan(row * d, d);
    const auto dy = dy_ND.subspan(row * d, d);
    const row_statistics s = statistics(kind, x, epsilon);
    double mean_g = 0, mean_along = 0;
    for (size_t i = 0; i < d; ++i) {
      const double unit = (x[i] - s.mean) * s.rstd;
      g.dgamma_D[i] += dy[i] * unit;
      g.dbeta_D[i] += dy[i];
      mean_g += dy[i] * gamma_D[i] / static_cast<double>(d);
      mean_along += dy[i] * gamma_D[i] * unit / static_cast<double>(d);
    }
    for (size_t i = 0; i < d; ++i) {
      const double unit = (x[i] - s.mean) * s.rstd;
      g.dx_ND[row * d + i] =
          s.rstd * (dy[i] * gamma_D[i] - unit * mean_along - (kind == norm_kind::layer ? mean_g : 0.0));
    }
  }
  return g;
}

}  // namespace troupe::test
