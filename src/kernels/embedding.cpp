#include "kernels/embedding.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/embedding.hpp"
#include "kernels/device_ops.hpp"

namespace troupe::kernels {

static void check(const context& ctx, const int32_t* index_N, int64_t n, int64_t rows, int64_t d) {
  if (n < 0 || rows < 1 || d < 1) {
    throw error(errc::shape_mismatch, "embedding: {} rows of a table [{}, {}]", n, rows, d);
  }
  for (int64_t i = 0; i < n && ctx.on == nullptr; ++i) {
    if (index_N[i] < 0 || index_N[i] >= rows) {
      throw error(errc::bad_argument, "embedding: index {} at row {} is outside the table of {} rows", index_N[i], i,
                  rows);
    }
  }
}

void embedding_forward(context& ctx, const embedding_args& args) {
  check(ctx, args.index_N, args.n, args.rows, args.d);
  ctx.on != nullptr ? ctx.on->ops().embedding_forward(ctx, args) : cpu::embedding_forward(ctx, args);
}

void embedding_backward(context& ctx, const embedding_backward_args& args) {
  check(ctx, args.index_N, args.n, args.rows, args.d);
  ctx.on != nullptr ? ctx.on->ops().embedding_backward(ctx, args) : cpu::embedding_backward(ctx, args);
}

}  // namespace troupe::kernels
