#include "kernels/cpu/rotary.hpp"

#include "base/round_up.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rotary.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/cpu/vector_math-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace math = troupe::HWY_NAMESPACE;

/// One head: (a, b) becomes (a cos - b sin, b cos + a sin), the sine times `direction`.
static void turn_head(float* a, float* b, const float* cosine, const float* sine, int64_t half, float direction) {
  const math::float_tag d;
  const auto sign = hn::Set(d, direction);
  math::ForEachVector(d, half, [&](int64_t i, int64_t count) HWY_ATTR {
    const auto a_i = math::PartialLoad(d, a + i, count);
    const auto b_i = math::PartialLoad(d, b + i, count);
    const auto c = math::PartialLoad(d, cosine + i, count);
    const auto s = hn::Mul(math::PartialLoad(d, sine + i, count), sign);
    math::PartialStore(hn::NegMulAdd(b_i, s, hn::Mul(a_i, c)), d, a + i, count);
    math::PartialStore(hn::MulAdd(a_i, s, hn::Mul(b_i, c)), d, b + i, count);
  });
}

void turn_rows(const rotary_args& args, float direction, int64_t begin, int64_t end) {
  const int64_t half = args.rotated / 2;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t angle = args.position_N[row] * half;
    for (int64_t head = 0; head < args.heads; ++head) {
      float* x = args.x_NE + row * args.row_stride + head * args.head_width;
      turn_head(x, x + half, args.cos_PR2 + angle, args.sin_PR2 + angle, half, direction);
    }
  }
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(turn_rows);

static constexpr int64_t rows_per_task = 16;

void cpu::rotary(context& ctx, const rotary_args& args, float direction) {
  ctx.pool.parallel_for(divide_up(args.n, rows_per_task), [&](int64_t task) {
    const int64_t begin = task * rows_per_task;
    const int64_t end = std::min(begin + rows_per_task, args.n);
    HWY_DYNAMIC_DISPATCH(turn_rows)(args, direction, begin, end);
  });
}

}  // namespace troupe::kernels
#endif  // HWY_ONCE
