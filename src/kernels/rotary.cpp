#include "kernels/rotary.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/rotary.hpp"
#include "kernels/device_ops.hpp"

namespace troupe::kernels {

static void check(const context& ctx, const rotary_args& args) {
  if (args.n < 0 || args.heads < 0 || args.head_width < 1) {
    throw error(errc::shape_mismatch, "rotary: {} rows of {} heads of width {}", args.n, args.heads, args.head_width);
  }
  if (args.rotated < 0 || args.rotated % 2 != 0 || args.rotated > args.head_width) {
    throw error(errc::shape_mismatch, "rotary: {} rotated dimensions of a head {} wide; must be even and fit the head",
                args.rotated, args.head_width);
  }
  if (args.row_stride < args.heads * args.head_width) {
    throw error(errc::shape_mismatch, "rotary: row stride {} is less than {} heads of width {}", args.row_stride,
                args.heads, args.head_width);
  }
  for (int64_t row = 0; row < args.n && ctx.on == nullptr; ++row) {
    if (args.position_N[row] < 0) {
      throw error(errc::bad_argument, "rotary: row {} stands at position {}", row, args.position_N[row]);
    }
  }
}

void rotary_forward(context& ctx, const rotary_args& args) {
  check(ctx, args);
  ctx.on != nullptr ? ctx.on->ops().rotary_forward(ctx, args) : cpu::rotary(ctx, args, 1.0F);
}

void rotary_backward(context& ctx, const rotary_args& args) {
  check(ctx, args);
  ctx.on != nullptr ? ctx.on->ops().rotary_backward(ctx, args) : cpu::rotary(ctx, args, -1.0F);
}

}  // namespace troupe::kernels
