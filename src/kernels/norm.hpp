/// LayerNorm and RMSNorm over the last dimension, each with an optional residual addition in front.
/// Bits    Sums over D run in 16 virtual lanes (element d in lane d % 16) joined by a fixed tree, whatever the vector
///         width. Gradients of gamma and beta sum rows in rising order.
/// Source  Ba et al., arXiv:1607.06450; Zhang & Sennrich, arXiv:1910.07467.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"

#include <cstdint>

namespace troupe::kernels {

struct norm_args {
  reals y_ND = nullptr;
  float* rstd_N = nullptr;       ///< saved for backward; may be null
  float* mean_N = nullptr;       ///< saved for backward (LayerNorm only); may be null
  reals x_ND = nullptr;          ///< input; where add_ND is given, becomes x + add (the residual stream)
  const_reals add_ND = nullptr;  ///< null: no residual addition
  const_reals gamma_D = nullptr;
  const_reals beta_D = nullptr;  ///< LayerNorm only
  int64_t n = 0, d = 0;
  float epsilon = 1e-5F;
};

/// y = (x - mean) / sqrt(var + epsilon) * gamma + beta, var the population variance.
void layer_norm_forward(context& ctx, const norm_args& args);
/// y = x / sqrt(mean(x^2) + epsilon) * gamma.
void rms_norm_forward(context& ctx, const norm_args& args);

struct norm_backward_args {
  reals dx_ND = nullptr;      ///< accumulated onto (the residual stream's gradient)
  float* dgamma_D = nullptr;  ///< accumulated onto
  float* dbeta_D = nullptr;   ///< LayerNorm only; accumulated onto
  const_reals dy_ND = nullptr;
  const_reals x_ND = nullptr;  ///< the input after the residual addition
  const_reals gamma_D = nullptr;
  const float* rstd_N = nullptr;
  const float* mean_N = nullptr;  ///< LayerNorm only
  int64_t n = 0, d = 0;
};

void layer_norm_backward(context& ctx, const norm_backward_args& args);
void rms_norm_backward(context& ctx, const norm_backward_args& args);

}  // namespace troupe::kernels
