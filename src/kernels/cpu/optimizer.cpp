#include "kernels/cpu/optimizer.hpp"

#include "base/round_up.hpp"
#include "kernels/adamw_factors.hpp"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/cpu/vector_math-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace math = troupe::HWY_NAMESPACE;

using math::float_tag;
using vec = hn::Vec<float_tag>;

/// to_bf16 of the first `count` lanes. Writes nothing past them.
HWY_INLINE void store_rounded(vec v, bf16* to, int64_t count) {
  const float_tag d;
  const hn::RebindToUnsigned<float_tag> bits_tag;
  const hn::Rebind<uint16_t, float_tag> half_tag;
  const auto bits = hn::BitCast(bits_tag, v);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(bits_tag, 1U));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(bits_tag, 0x7FFFU))));
  const auto quiet = hn::Or(upper, hn::Set(bits_tag, 0x40U));
  const auto half = hn::TruncateTo(half_tag, hn::IfThenElse(hn::RebindMask(bits_tag, hn::IsNaN(v)), quiet, rounded));
  auto* const places = reinterpret_cast<uint16_t*>(to);
  if (count >= static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreU(half, half_tag, places);
    return;
  }
  HWY_ALIGN uint16_t lanes[hn::MaxLanes(half_tag)];
  hn::Store(half, half_tag, lanes);
  std::copy_n(lanes, count, places);
}

void adamw(float* weight, bf16* compute, float* first, float* second, const float* gradient, int64_t count,
           const adamw_factors& f) {
  const float_tag d;
  math::ForEachVector(d, count, [&](int64_t i, int64_t c) HWY_ATTR {
    const vec g = hn::Mul(math::PartialLoad(d, gradient + i, c), hn::Set(d, f.gradient_scale));
    const vec m =
        hn::MulAdd(hn::Set(d, f.beta1), math::PartialLoad(d, first + i, c), hn::Mul(hn::Set(d, f.one_minus_beta1), g));
    const vec v = hn::MulAdd(hn::Set(d, f.beta2), math::PartialLoad(d, second + i, c),
                             hn::Mul(hn::Mul(hn::Set(d, f.one_minus_beta2), g), g));
    const vec root = hn::MulAdd(hn::Sqrt(v), hn::Set(d, f.root_scale), hn::Set(d, f.epsilon));
    const vec step = hn::Div(hn::Mul(hn::Set(d, f.step_size), m), root);
    const vec w = hn::MulSub(hn::Set(d, f.keep), math::PartialLoad(d, weight + i, c), step);
    math::PartialStore(m, d, first + i, c);
    math::PartialStore(v, d, second + i, c);
    math::PartialStore(w, d, weight + i, c);
    if (compute != nullptr) {
      store_rounded(w, compute + i, c);
    }
  });
}

/// One block: lane i % 16 sums the squares of its elements in double. A float's square is exact in
/// double, so fused or not is the same.
double block_sum_of_squares(const float* x, int64_t count) {
  using tag = hn::CappedTag<double, 8>;
  const tag d;
  const hn::Rebind<float, tag> narrow;
  constexpr int64_t lanes = hn::MaxLanes(d);
  math::virtual_lanes<tag> sums;
  for (auto& sum : sums.part) {
    sum = hn::Zero(d);
  }
  for (int64_t i = 0; i < count; i += 16) {
    for (size_t p = 0; p < sums.parts; ++p) {
      const int64_t first = i + static_cast<int64_t>(p) * lanes;
      const auto values = hn::PromoteTo(d, math::PartialLoad(narrow, x + std::min(first, count), count - first));
      sums.part[p] = hn::MulAdd(values, values, sums.part[p]);
    }
  }
  return math::SumLanes(d, sums);
}

void average(float* average, const float* values, int64_t count, float decay, float rest) {
  const float_tag d;
  math::ForEachVector(d, count, [&](int64_t i, int64_t c) HWY_ATTR {
    const vec kept = hn::Mul(hn::Set(d, decay), math::PartialLoad(d, average + i, c));
    const vec folded = hn::MulAdd(hn::Set(d, rest), math::PartialLoad(d, values + i, c), kept);
    math::PartialStore(folded, d, average + i, c);
  });
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(adamw);
HWY_EXPORT(block_sum_of_squares);
HWY_EXPORT(average);

namespace cpu {

static constexpr int64_t task_floats = 16384;

void adamw_update(context& ctx, const adamw_args& args) {
  const adamw_factors factors = factors_of(args);
  ctx.pool.parallel_for(divide_up(args.count, task_floats), [&](int64_t task) {
    const int64_t i = task * task_floats;
    bf16* const compute = args.compute == nullptr ? nullptr : args.compute.as<bf16>() + i;
    HWY_DYNAMIC_DISPATCH(adamw)
    (args.weight + i, compute, args.first_moment + i, args.second_moment + i, args.gradient + i,
     std::min(task_floats, args.count - i), factors);
  });
}

double sum_of_squares(context& ctx, const float* values, int64_t count) {
  const int64_t blocks = divide_up(count, squares_block);
  std::vector<double> sums(static_cast<size_t>(blocks));
  constexpr int64_t blocks_in_task = 16;
  ctx.pool.parallel_for(divide_up(blocks, blocks_in_task), [&](int64_t task) {
    const int64_t end = std::min((task + 1) * blocks_in_task, blocks);
    for (int64_t block = task * blocks_in_task; block < end; ++block) {
      const int64_t first = block * squares_block;
      sums[static_cast<size_t>(block)] =
          HWY_DYNAMIC_DISPATCH(block_sum_of_squares)(values + first, std::min(squares_block, count - first));
    }
  });
  double total = 0;
  for (const double sum : sums) {
    total += sum;
  }
  return total;
}

void sums_of_squares(context& ctx, const float* values, std::span<const int64_t> offset_P1, std::span<double> sum_P) {
  ctx.pool.parallel_for(static_cast<int64_t>(sum_P.size()), [&](int64_t part) {
    const auto p = static_cast<size_t>(part);
    double total = 0;
    for (int64_t first = offset_P1[p]; first < offset_P1[p + 1]; first += squares_block) {
      total +=
          HWY_DYNAMIC_DISPATCH(block_sum_of_squares)(values + first, std::min(squares_block, offset_P1[p + 1] - first));
    }
    sum_P[p] = total;
  });
}

void fold_average(context& ctx, float* average, const float* values, int64_t count, float decay) {
  const auto rest = static_cast<float>(1.0 - static_cast<double>(decay));
  ctx.pool.parallel_for(divide_up(count, task_floats), [&](int64_t task) {
    const int64_t i = task * task_floats;
    HWY_DYNAMIC_DISPATCH(average)
    (average + i, values + i, std::min(task_floats, count - i), decay, rest);
  });
}

}  // namespace cpu
}  // namespace troupe::kernels
#endif  // HWY_ONCE
