/// Elementary functions and fixed-order sums on Highway vectors, for every kernel of this folder.
///
/// Bits    A function applies the same operations to every lane, and a sum has 16 virtual lanes
/// whatever the
///         width of the CPU's vectors. So results depend neither on an element's position nor on
///         the vector width, among targets that fuse multiply-add (AVX2, AVX-512). HWY_SCALAR, the
///         fallback for older CPUs, rounds the product too: its last bits differ.
/// Use     Include after hwy/foreach_target.h and hwy/highway.h; everything is in
/// troupe::HWY_NAMESPACE.
/// Source  Minimax polynomials fitted for this file (Lawson's iteration; coefficients rounded to float32 one
///         by one with the rest refitted). Errors below are measured over all of the range by
///         tests/kernels/vector_math_test.cpp.

// Included once for each target: not #pragma once. Named as Highway names: NOLINTBEGIN(readability-identifier-naming)
#if defined(TROUPE_VECTOR_MATH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_VECTOR_MATH_INL
#undef TROUPE_VECTOR_MATH_INL
#else
#define TROUPE_VECTOR_MATH_INL
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace troupe::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// The vectors of kernels: as wide as the CPU's, but never wider than the 16 virtual lanes.
using float_tag = hn::CappedTag<float, 16>;

/// c0 + x (c1 + x (c2 + ...)), fused.
template <class D, class V = hn::Vec<D>> HWY_INLINE V Polynomial(D d, V /*x*/, float c0) { return hn::Set(d, c0); }
template <class D, class V = hn::Vec<D>, class... Rest> HWY_INLINE V Polynomial(D d, V x, float c0, Rest... rest) {
  return hn::MulAdd(x, Polynomial(d, x, rest...), hn::Set(d, c0));
}

/// v * 2^e, for e in [-252, 254]: in two steps, so that subnormal results are rounded once.
template <class D, class V = hn::Vec<D>, class VI = hn::Vec<hn::RebindToSigned<D>>>
HWY_INLINE V ScaleByPowerOf2(D d, V v, VI e) {
  const hn::RebindToSigned<D> di;
  const auto half = hn::ShiftRight<1>(e);
  const auto bias = hn::Set(di, 127);
  const auto first = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const auto second = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(e, half), bias)));
  return hn::Mul(hn::Mul(v, first), second);
}

/// e^v within 1 ulp. Exactly 0 below -104 (and for -inf), inf above 88.73; NaN stays NaN.
template <class D, class V = hn::Vec<D>> HWY_INLINE V Exp(D d, V v) {
  // Clamped only for the integer part: a NaN must reach the polynomial.
  const V bounded = hn::Min(hn::Max(v, hn::Set(d, -105.0F)), hn::Set(d, 90.0F));
  const auto n = hn::NearestInt(hn::Mul(bounded, hn::Set(d, 1.44269504F)));
  const V n_float = hn::ConvertTo(d, n);
  // ln 2 in two parts, the first with few bits
  const V high = hn::NegMulAdd(n_float, hn::Set(d, 0.693359375F), v);
  const V r = hn::NegMulAdd(n_float, hn::Set(d, -2.12194440e-4F), high);
  const V p = Polynomial(d, r, 0x1.fffffcp-2F, 0x1.555492p-3F, 0x1.5558b4p-5F, 0x1.1239ap-7F, 0x1.6a495ep-10F);
  const V e = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), hn::Set(d, 1.0F));
  const V scaled = ScaleByPowerOf2(d, e, n);
  const V inf = hn::Set(d, std::numeric_limits<float>::infinity());
  const V top = hn::IfThenElse(hn::Gt(v, hn::Set(d, 88.7228394F)), inf, scaled);
  return hn::IfThenElse(hn::Lt(v, hn::Set(d, -104.0F)), hn::Zero(d), top);
}

/// 1 / (1 + e^-v) within 3 ulp, tiny values included.
template <class D, class V = hn::Vec<D>> HWY_INLINE V Sigmoid(D d, V v) {
  const V one = hn::Set(d, 1.0F);
  const V e = Exp(d, hn::Neg(hn::Abs(v)));
  return hn::Div(hn::IfThenElse(hn::Lt(v, hn::Zero(d)), e, one), hn::Add(one, e));
}

/// tanh v within 2 ulp.
template <class D, class V = hn::Vec<D>> HWY_INLINE V Tanh(D d, V v) {
  const V one = hn::Set(d, 1.0F);
  const V a = hn::Abs(v);
  const V z = hn::Mul(v, v);
  const V p = Polynomial(d, z, -0x1.55554cp-2F, 0x1.110d6ap-3F, -0x1.b932p-5F, 0x1.5982cap-6F, -0x1.9c97bcp-8F);
  const V small = hn::MulAdd(hn::Mul(v, z), p, v);
  const V e = Exp(d, hn::Add(a, a));
  const V large = hn::Sub(one, hn::Div(hn::Set(d, 2.0F), hn::Add(e, one)));
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.55F)), small, hn::CopySign(large, v));
}

/// The error function within 2 ulp.
template <class D, class V = hn::Vec<D>> HWY_INLINE V Erf(D d, V v) {
  const V a = hn::Abs(v);
  const V p = Polynomial(d, hn::Mul(v, v), 0x1.06eba8p-3F, -0x1.812740p-2F, 0x1.ce2d50p-4F, -0x1.b7fe90p-6F,
                         0x1.542e10p-8F, -0x1.a50b0ep-11F, 0x1.4c344ep-14F);
  const V small = hn::MulAdd(v, p, v);
  // erf rounds to 1 from 3.92 on; the fit of -log erfc(a) / a - 1 ends at 4.
  const V bounded = hn::IfThenElse(hn::Gt(a, hn::Set(d, 4.0F)), hn::Set(d, 4.0F), a);
  const V q = Polynomial(d, bounded, 0x1.074e9ap-3F, 0x1.456702p-1F, 0x1.afbc36p-4F, -0x1.75e81ep-6F, 0x1.8bdcacp-9F,
                         -0x1.574a6ep-14F, -0x1.49bc32p-15F, 0x1.29202cp-18F);
  const V large = hn::Sub(hn::Set(d, 1.0F), Exp(d, hn::Neg(hn::MulAdd(bounded, q, bounded))));
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, 1.0F)), small, hn::CopySign(large, v));
}

/// Natural logarithm within 2 ulp, for positive normal and subnormal numbers. 0 gives -inf, inf
/// inf; a negative number or NaN gives NaN.
template <class D, class V = hn::Vec<D>> HWY_INLINE V Log(D d, V v) {
  const hn::RebindToSigned<D> di;
  const V infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  const auto subnormal = hn::Lt(v, hn::Set(d, std::numeric_limits<float>::min()));
  const V normal = hn::IfThenElse(subnormal, hn::Mul(v, hn::Set(d, 0x1.0p24F)), v);
  // v = 2^n m with m in [sqrt(1/2), sqrt(2)): 0x3f3504f3 are the bits of sqrt(1/2).
  const auto bits = hn::Sub(hn::BitCast(di, normal), hn::Set(di, 0x3f3504f3));
  const V n_float =
      hn::Sub(hn::ConvertTo(d, hn::ShiftRight<23>(bits)), hn::IfThenElseZero(subnormal, hn::Set(d, 24.0F)));
  const auto mantissa = hn::And(bits, hn::Set(di, 0x007fffff));
  const V f = hn::Sub(hn::BitCast(d, hn::Add(mantissa, hn::Set(di, 0x3f3504f3))), hn::Set(d, 1.0F));
  const V p = Polynomial(d, f, 0x1.555548p-2F, -0x1.000006p-2F, 0x1.99a476p-3F, -0x1.555c46p-3F, 0x1.233ba8p-3F,
                         -0x1.fc2886p-4F, 0x1.e6bf3ap-4F, -0x1.de02bep-4F, 0x1.147610p-4F);
  const V ff = hn::Mul(f, f);
  V low = hn::Mul(n_float, hn::Set(d, -2.12194440e-4F));
  low = hn::MulAdd(hn::Mul(ff, f), p, low);
  low = hn::MulAdd(ff, hn::Set(d, -0.5F), low);
  const V finite = hn::MulAdd(n_float, hn::Set(d, 0.693359375F), hn::Add(f, low));
  const V upper = hn::IfThenElse(hn::Lt(v, infinity), finite, v);  // inf and NaN pass
  const V zero = hn::IfThenElse(hn::Eq(v, hn::Zero(d)), hn::Neg(infinity), upper);
  const V nan = hn::Set(d, std::numeric_limits<float>::quiet_NaN());
  return hn::IfThenElse(hn::Lt(v, hn::Zero(d)), nan, zero);
}

/// The first `count` values at p, the other lanes `fill`. Reads nothing past them.
template <class D> HWY_INLINE hn::Vec<D> PartialLoad(D d, const float* p, int64_t count, float fill = 0) {
  if (count >= static_cast<int64_t>(hn::Lanes(d))) {
    return hn::LoadU(d, p);
  }
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(hn::Set(d, fill), d, lanes);
  if (count > 0) {
    std::memcpy(lanes, p, static_cast<size_t>(count) * sizeof(float));
  }
  return hn::Load(d, lanes);
}

/// Stores the first `count` lanes. Writes nothing past them.
template <class D> HWY_INLINE void PartialStore(hn::Vec<D> v, D d, float* p, int64_t count) {
  if (count >= static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreU(v, d, p);
    return;
  }
  HWY_ALIGN float lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  if (count > 0) {
    std::memcpy(p, lanes, static_cast<size_t>(count) * sizeof(float));
  }
}

/// Calls step(i, count) for the vectors of [0, n): `count` is the number of elements from i on, at
/// most the lanes.
template <class D, class Step> HWY_INLINE void ForEachVector(D d, int64_t n, Step step) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    step(i, lanes);
  }
  if (i < n) {
    step(i, n - i);
  }
}

/// Sixteen running values; element i of a row belongs to lane i % 16.
template <class D> struct virtual_lanes {
  static constexpr size_t parts = 16 / hn::MaxLanes(D());
  hn::Vec<D> part[parts];
};

/// Folds elements 0..n into 16 virtual lanes that start as `start`:
///   acc = step(acc, i, count)   with the elements [i, i + count), count at most the lanes of D.
/// For a count below the lanes, step must leave the other lanes of acc as they are (PartialLoad's
/// fill does it).
template <class D, class Step> HWY_INLINE virtual_lanes<D> FoldLanes(D d, int64_t n, float start, Step step) {
  constexpr auto width = static_cast<int64_t>(hn::MaxLanes(d));
  virtual_lanes<D> acc;
  for (auto& part : acc.part) {
    part = hn::Set(d, start);
  }
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
#pragma GCC unroll 16
    for (size_t p = 0; p < acc.parts; ++p) {
      acc.part[p] = step(acc.part[p], i + static_cast<int64_t>(p) * width, width);
    }
  }
  for (size_t p = 0; i < n; ++p, i += width) {
    acc.part[p] = step(acc.part[p], i, n - i < width ? n - i : width);
  }
  return acc;
}

/// The lanes of one vector, joined at half their number of lanes' distance, then a quarter, and so on.
template <class D, class Join> HWY_INLINE hn::TFromD<D> JoinVector(D /*d*/, hn::Vec<D> v, [[maybe_unused]] Join join) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(D()) > 1) {
    const hn::Half<D> half;
    return JoinVector(half, join(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), join);
  }
#endif
  return hn::GetLane(v);
}

/// Joins the sixteen lanes by a fixed tree: 8 pairs at distance 8, then 4 at distance 4, 2 and 1.
template <class D, class Join> HWY_INLINE hn::TFromD<D> JoinLanes(D d, virtual_lanes<D> acc, Join join) {
  for (size_t half = acc.parts / 2; half > 0; half /= 2) {
    for (size_t p = 0; p < half; ++p) {
      acc.part[p] = join(acc.part[p], acc.part[p + half]);
    }
  }
  return JoinVector(d, acc.part[0], join);
}

/// The sum, or the maximum, of the sixteen lanes.
template <class D> HWY_INLINE hn::TFromD<D> SumLanes(D d, const virtual_lanes<D>& acc) {
  return JoinLanes(d, acc, [](auto a, auto b) HWY_ATTR { return hn::Add(a, b); });
}
template <class D> HWY_INLINE hn::TFromD<D> MaxLanesOf(D d, const virtual_lanes<D>& acc) {
  return JoinLanes(d, acc, [](auto a, auto b) HWY_ATTR { return hn::Max(a, b); });
}

/// sum_i x_i y_i, one fused chain in each of the 16 virtual lanes.
template <class D> HWY_INLINE float Dot(D d, const float* x, const float* y, int64_t n) {
  const auto step = [&](hn::Vec<D> acc, int64_t i, int64_t count) HWY_ATTR {
    return hn::MulAdd(PartialLoad(d, x + i, count), PartialLoad(d, y + i, count), acc);
  };
  return SumLanes(d, FoldLanes(d, n, 0.0F, step));
}

}  // namespace troupe::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TROUPE_VECTOR_MATH_INL NOLINTEND(readability-identifier-naming)
