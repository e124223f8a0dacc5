#include "kernels/norm.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/norm.hpp"
#include "kernels/device_ops.hpp"

namespace troupe::kernels {

static void check_shape(int64_t n, int64_t d) {
  if (n < 0 || d < 1) {
    throw error(errc::shape_mismatch, "norm: {} rows {} wide", n, d);
  }
}

static void check(const norm_args& args) {
  check_shape(args.n, args.d);
  if (!(args.epsilon >= 0)) {
    throw error(errc::bad_argument, "norm: epsilon is {}; must not be negative", args.epsilon);
  }
  if (args.gamma_D == nullptr) {
    throw error(errc::bad_argument, "norm: gamma_D is missing");
  }
}

static void check(const norm_backward_args& args) {
  check_shape(args.n, args.d);
  if (args.gamma_D == nullptr || args.dgamma_D == nullptr) {
    throw error(errc::bad_argument, "norm backward: gamma_D or dgamma_D is missing");
  }
  if (args.n > 0 && args.rstd_N == nullptr) {
    throw error(errc::bad_argument, "norm backward: rstd_N is missing; save it in forward");
  }
}

void layer_norm_forward(context& ctx, const norm_args& args) {
  check(args);
  if (args.beta_D == nullptr) {
    throw error(errc::bad_argument, "layer_norm_forward: beta_D is missing");
  }
  ctx.on != nullptr ? ctx.on->ops().layer_norm_forward(ctx, args) : cpu::layer_norm_forward(ctx, args);
}

void rms_norm_forward(context& ctx, const norm_args& args) {
  check(args);
  ctx.on != nullptr ? ctx.on->ops().rms_norm_forward(ctx, args) : cpu::rms_norm_forward(ctx, args);
}

void layer_norm_backward(context& ctx, const norm_backward_args& args) {
  check(args);
  if (args.dbeta_D == nullptr || (args.n > 0 && args.mean_N == nullptr)) {
    throw error(errc::bad_argument, "layer_norm_backward: dbeta_D or mean_N is missing");
  }
  ctx.on != nullptr ? ctx.on->ops().layer_norm_backward(ctx, args) : cpu::layer_norm_backward(ctx, args);
}

void rms_norm_backward(context& ctx, const norm_backward_args& args) {
  check(args);
  ctx.on != nullptr ? ctx.on->ops().rms_norm_backward(ctx, args) : cpu::rms_norm_backward(ctx, args);
}

}  // namespace troupe::kernels
