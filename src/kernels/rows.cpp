#include "kernels/rows.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/device_ops.hpp"

namespace troupe::kernels {

static void check(const char* operation, int64_t n, int64_t width) {
  if (n < 0 || width < 0) {
    throw error(errc::shape_mismatch, "{}: {} rows of {} values", operation, n, width);
  }
}

/// The stride that a default of 0 stands for.
static int64_t checked_stride(int64_t stride, int64_t width) {
  if (stride != 0 && stride < width) {
    throw error(errc::shape_mismatch, "copy_rows: rows are {} wide but only {} floats apart", width, stride);
  }
  return stride != 0 ? stride : width;
}

void copy_rows(context& ctx, const copy_rows_args& args) {
  check("copy_rows", args.n, args.width);
  copy_rows_args set = args;
  set.to_stride = checked_stride(args.to_stride, args.width);
  set.from_stride = checked_stride(args.from_stride, args.width);
  ctx.on != nullptr ? ctx.on->ops().copy_rows(ctx, set) : cpu::copy_rows(ctx, set);
}

void gather_rows(context& ctx, const gather_rows_args& args) {
  check("gather_rows", args.rows, args.d);
  ctx.on != nullptr ? ctx.on->ops().gather_rows(ctx, args) : cpu::gather_rows(ctx, args);
}

void scatter_rows(context& ctx, const scatter_rows_args& args) {
  check("scatter_rows", args.n, args.d);
  for (int64_t a = 0; a < args.rows && ctx.on == nullptr; ++a) {
    if (args.row_A[a] < 0 || args.row_A[a] >= args.n) {
      throw error(errc::bad_argument, "scatter_rows: row {} at {} is outside of [0, {})", args.row_A[a], a, args.n);
    }
  }
  ctx.on != nullptr ? ctx.on->ops().scatter_rows(ctx, args) : cpu::scatter_rows(ctx, args);
}

void zero(context& ctx, reals values, int64_t count) {
  if (count < 0) {
    throw error(errc::shape_mismatch, "zero: {} values", count);
  }
  ctx.on != nullptr ? ctx.on->ops().zero(ctx, values, count) : cpu::zero(ctx, values, count);
}

}  // namespace troupe::kernels
