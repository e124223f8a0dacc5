#include "kernels/activation.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/activation.hpp"
#include "kernels/device_ops.hpp"

namespace troupe::kernels {

static void check(const char* operation, int64_t n, int64_t f) {
  if (n < 0 || f < 1) {
    throw error(errc::shape_mismatch, "{}: {} rows of {} values", operation, n, f);
  }
}

void activation_forward(context& ctx, const activation_args& args) {
  check("activation_forward", args.n, args.f);
  ctx.on != nullptr ? ctx.on->ops().activation_forward(ctx, args) : cpu::activation_forward(ctx, args);
}

void activation_backward(context& ctx, const activation_backward_args& args) {
  check("activation_backward", args.n, args.f);
  ctx.on != nullptr ? ctx.on->ops().activation_backward(ctx, args) : cpu::activation_backward(ctx, args);
}

void gated_activation_forward(context& ctx, const gated_activation_args& args) {
  check("gated_activation_forward", args.n, args.f);
  ctx.on != nullptr ? ctx.on->ops().gated_activation_forward(ctx, args) : cpu::gated_activation_forward(ctx, args);
}

void gated_activation_backward(context& ctx, const gated_activation_backward_args& args) {
  check("gated_activation_backward", args.n, args.f);
  ctx.on != nullptr ? ctx.on->ops().gated_activation_backward(ctx, args) : cpu::gated_activation_backward(ctx, args);
}

void add_in_place(context& ctx, reals y, const_reals x, int64_t count) {
  if (count < 0) {
    throw error(errc::shape_mismatch, "add_in_place: {} values", count);
  }
  ctx.on != nullptr ? ctx.on->ops().add_in_place(ctx, y, x, count) : cpu::add_in_place(ctx, y, x, count);
}

}  // namespace troupe::kernels
