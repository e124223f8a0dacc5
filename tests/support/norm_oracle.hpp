/// LayerNorm and RMSNorm in double, from the formulas of kernels/norm.hpp alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::test {

enum class norm_kind { layer, rms };

/// beta_D is not read for RMSNorm.
std::vector<double> norm_oracle(norm_kind kind, std::span<const double> x_ND, std::span<const double> gamma_D,
                                std::span<const double> beta_D, double epsilon);

struct norm_gradients {
  std::vector<double> dx_ND, dgamma_D, dbeta_D;
};

norm_gradients norm_backward_oracle(norm_kind kind, std::span<const double> x_ND, std::span<const double> gamma_D,
                                    std::span<const double> dy_ND, double epsilon);

}  // namespace troupe::test
