#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/rotary.hpp"

namespace troupe::kernels::cuda {

namespace {

/// A thread turns one pair of a row: (a, b) becomes (a cos - b sin, b cos + a sin), the sine times `direction`.
template <class T> __global__ void turn_kernel(T* x, rotary_args args, float direction) {
  const int64_t half = args.rotated / 2;
  const int64_t pair = column_index();
  if (pair >= args.heads * half) {
    return;
  }
  const auto head = static_cast<uint32_t>(pair) / static_cast<uint32_t>(half);
  const int64_t i = pair - head * half;
  T* at = x + row_index() * args.row_stride + head * args.head_width + i;
  const int64_t angle = args.position_N[row_index()] * half + i;
  const float cosine = args.cos_PR2[angle];
  const float sine = __fmul_rn(args.sin_PR2[angle], direction);
  const float a = to_float(at[0]), b = to_float(at[half]);
  at[0] = rounded<T>(__fmaf_rn(-b, sine, __fmul_rn(a, cosine)));
  at[half] = rounded<T>(__fmaf_rn(a, sine, __fmul_rn(b, cosine)));
}

void turn(context& ctx, const rotary_args& args, float direction) {
  const int64_t pairs = args.heads * (args.rotated / 2);
  if (args.n == 0 || pairs == 0) {
    return;
  }
  with_element(args.x_NE.type(), [&](auto element) {
    using T = decltype(element);
    launch(turn_kernel<T>, blocks_by_row(args.n, pairs), element_block(), compute_stream(ctx), args.x_NE.as<T>(), args,
           direction);
  });
}

}  // namespace

void rotary_forward(context& ctx, const rotary_args& args) { turn(ctx, args, 1.0F); }
void rotary_backward(context& ctx, const rotary_args& args) { turn(ctx, args, -1.0F); }

}  // namespace troupe::kernels::cuda
