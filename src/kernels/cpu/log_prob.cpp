#include "kernels/cpu/log_prob.hpp"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/log_prob.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/cpu/vector_math-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace troupe::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
namespace math = troupe::HWY_NAMESPACE;
using tag = math::float_tag;
using vector = hn::Vec<tag>;

static constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

static void divide_row(float* x, int64_t n, float divisor) {
  const tag d;
  math::ForEachVector(d, n, [&](int64_t i, int64_t count) HWY_ATTR {
    const vector quotient = hn::Div(math::PartialLoad(d, x + i, count), hn::Set(d, divisor));
    math::PartialStore(quotient, d, x + i, count);
  });
}

softmax_statistics softmax_of_row(float* logits, int64_t n, float temperature) {
  const tag d;
  if (temperature != 1.0F) {
    divide_row(logits, n, temperature);
  }
  const auto largest = [&](vector acc, int64_t i, int64_t count)
                           HWY_ATTR { return hn::Max(acc, math::PartialLoad(d, logits + i, count, minus_infinity)); };
  const float maximum = math::MaxLanesOf(d, math::FoldLanes(d, n, minus_infinity, largest));
  const auto exponentials = [&](vector acc, int64_t i, int64_t count) HWY_ATTR {
    const vector z = math::PartialLoad(d, logits + i, count, minus_infinity);
    return hn::Add(acc, math::Exp(d, hn::Sub(z, hn::Set(d, maximum))));
  };
  const float sum = math::SumLanes(d, math::FoldLanes(d, n, 0.0F, exponentials));
  return {maximum, std::log(sum)};
}

/// log p of a vector of scaled logits, by the formula of log_prob_of.
static HWY_INLINE vector log_p(vector z, const softmax_statistics& s) {
  const tag d;
  return hn::Sub(hn::Sub(z, hn::Set(d, s.maximum)), hn::Set(d, s.log_sum));
}

float entropy_of_row(const float* scaled_logits, int64_t n, const softmax_statistics& s) {
  const tag d;
  const auto p_log_p = [&](vector acc, int64_t i, int64_t count) HWY_ATTR {
    // The fill is far below any logit that counts, and finite: 0 times it is 0.
    const vector log_p_v = log_p(math::PartialLoad(d, scaled_logits + i, count, -1e30F), s);
    return hn::NegMulAdd(math::Exp(d, log_p_v), log_p_v, acc);
  };
  return math::SumLanes(d, math::FoldLanes(d, n, 0.0F, p_log_p));
}

/// dz = (dlogprob (1[v = target] - p) - dentropy p (log p + entropy)) / temperature, in place of z
/// / temperature.
void gradient_of_row(float* row, int64_t n, int32_t target, const softmax_statistics& s, float entropy, float dlogprob,
                     float dentropy, float temperature) {
  const tag d;
  const vector minus_reciprocal = hn::Set(d, -1.0F / temperature);
  math::ForEachVector(d, n, [&](int64_t v, int64_t count) HWY_ATTR {
    const vector log_p_v = log_p(math::PartialLoad(d, row + v, count), s);
    const vector weight = hn::MulAdd(hn::Set(d, dentropy), hn::Add(log_p_v, hn::Set(d, entropy)), hn::Set(d, dlogprob));
    const vector gradient = hn::Mul(hn::Mul(math::Exp(d, log_p_v), weight), minus_reciprocal);
    math::PartialStore(gradient, d, row + v, count);
  });
  row[target] += dlogprob / temperature;
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(softmax_of_row);
HWY_EXPORT(entropy_of_row);
HWY_EXPORT(gradient_of_row);

softmax_statistics cpu::log_softmax_row(float* logits_V, int64_t vocabulary, float temperature) {
  return HWY_DYNAMIC_DISPATCH(softmax_of_row)(logits_V, vocabulary, temperature);
}

void cpu::log_prob_rows(context& ctx, const log_prob_rows_args& args) {
  ctx.pool.parallel_for(args.n, [&](int64_t row) {
    float* logits = args.logits_NV + row * args.vocabulary;
    softmax_statistics& s = args.statistics_N[row];
    s = log_softmax_row(logits, args.vocabulary, args.temperature);
    args.logprob_N[row] = log_prob_of(logits, s, args.target_N[row]);
    if (args.entropy_N != nullptr) {
      args.entropy_N[row] = HWY_DYNAMIC_DISPATCH(entropy_of_row)(logits, args.vocabulary, s);
    }
  });
}

void cpu::log_prob_rows_backward(context& ctx, const log_prob_rows_args& args, const token_terms* terms_N) {
  ctx.pool.parallel_for(args.n, [&](int64_t row) {
    HWY_DYNAMIC_DISPATCH(gradient_of_row)
    (args.logits_NV + row * args.vocabulary, args.vocabulary, args.target_N[row], args.statistics_N[row],
     args.entropy_N[row], terms_N[row].dlogprob, terms_N[row].dentropy, args.temperature);
  });
}

}  // namespace troupe::kernels
#endif  // HWY_ONCE
