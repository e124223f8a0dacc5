#include "kernels/cpu/activation.hpp"

#include "base/round_up.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/activation.cpp"
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

/// An activation is a pair: value(x), and slope(x), its derivative.
struct relu {
  // Not Max, which would turn NaN into 0.
  static vec value(float_tag d, vec x) { return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x); }
  static vec slope(float_tag d, vec x) { return hn::IfThenElseZero(hn::Gt(x, hn::Zero(d)), hn::Set(d, 1.0F)); }
};

/// sigmoid(u) and its derivative s (1 - s), the latter without the cancellation of 1 - s.
struct sigmoid_and_slope {
  vec value, slope;
  sigmoid_and_slope(float_tag d, vec u) {
    const vec one = hn::Set(d, 1.0F);
    const vec e = math::Exp(d, hn::Neg(hn::Abs(u)));
    const vec larger = hn::Div(one, hn::Add(one, e));
    const vec smaller = hn::Mul(e, larger);
    value = hn::IfThenElse(hn::Lt(u, hn::Zero(d)), smaller, larger);
    slope = hn::Mul(smaller, larger);
  }
};

/// 0.5 (1 + tanh u) is sigmoid(2u), which keeps its relative accuracy where tanh is near -1.
struct gelu_tanh {
  static constexpr float scale = 1.59576912F;  // 2 sqrt(2 / pi)
  /// scale (1 + c x^2): times x it is 2u, and with three times its c it is the derivative of 2u.
  static vec polynomial(float_tag d, vec x, float c) {
    return hn::MulAdd(hn::Mul(x, x), hn::Set(d, scale * c), hn::Set(d, scale));
  }
  static vec value(float_tag d, vec x) { return hn::Mul(x, math::Sigmoid(d, hn::Mul(polynomial(d, x, 0.044715F), x))); }
  static vec slope(float_tag d, vec x) {
    const sigmoid_and_slope s(d, hn::Mul(polynomial(d, x, 0.044715F), x));
    const vec inner = polynomial(d, x, 0.134145F);
    return hn::MulAdd(hn::Mul(x, inner), s.slope, s.value);
  }
};

struct gelu_erf {
  static vec phi(float_tag d, vec x) {
    const vec erf = math::Erf(d, hn::Mul(x, hn::Set(d, 0.707106781F)));
    return hn::MulAdd(erf, hn::Set(d, 0.5F), hn::Set(d, 0.5F));
  }
  static vec value(float_tag d, vec x) { return hn::Mul(x, phi(d, x)); }
  static vec slope(float_tag d, vec x) {
    const vec density = hn::Mul(math::Exp(d, hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5F))), hn::Set(d, 0.398942280F));
    return hn::MulAdd(x, density, phi(d, x));
  }
};

struct silu {
  static vec value(float_tag d, vec x) { return hn::Mul(x, math::Sigmoid(d, x)); }
  static vec slope(float_tag d, vec x) {
    const sigmoid_and_slope s(d, x);
    return hn::MulAdd(x, s.slope, s.value);
  }
};

template <class Body> HWY_INLINE void with_kind(activation kind, Body body) {
  switch (kind) {
  case activation::relu:
    body(relu());
    return;
  case activation::gelu_tanh:
    body(gelu_tanh());
    return;
  case activation::gelu_erf:
    body(gelu_erf());
    return;
  case activation::silu:
    body(silu());
    return;
  }
}

void forward(float* y, const float* x, int64_t count, activation kind) {
  const float_tag d;
  with_kind(kind, [&](auto act) HWY_ATTR {
    math::ForEachVector(d, count, [&](int64_t i, int64_t c) HWY_ATTR {
      math::PartialStore(act.value(d, math::PartialLoad(d, x + i, c)), d, y + i, c);
    });
  });
}

void backward(float* dx, const float* dy, const float* x, int64_t count, activation kind) {
  const float_tag d;
  with_kind(kind, [&](auto act) HWY_ATTR {
    math::ForEachVector(d, count, [&](int64_t i, int64_t c) HWY_ATTR {
      const vec slope = act.slope(d, math::PartialLoad(d, x + i, c));
      math::PartialStore(hn::Mul(slope, math::PartialLoad(d, dy + i, c)), d, dx + i, c);
    });
  });
}

/// One row.
void gated_forward(float* y, const float* gate, const float* up, int64_t f, activation kind) {
  const float_tag d;
  with_kind(kind, [&](auto act) HWY_ATTR {
    math::ForEachVector(d, f, [&](int64_t i, int64_t c) HWY_ATTR {
      const vec value = act.value(d, math::PartialLoad(d, gate + i, c));
      math::PartialStore(hn::Mul(value, math::PartialLoad(d, up + i, c)), d, y + i, c);
    });
  });
}

/// One row; dgate may be gate and dup may be up: both are read before either is written.
void gated_backward(float* dgate, float* dup, const float* dy, const float* gate, const float* up, int64_t f,
                    activation kind) {
  const float_tag d;
  with_kind(kind, [&](auto act) HWY_ATTR {
    math::ForEachVector(d, f, [&](int64_t i, int64_t c) HWY_ATTR {
      const vec dy_i = math::PartialLoad(d, dy + i, c);
      const vec gate_i = math::PartialLoad(d, gate + i, c);
      const vec up_i = math::PartialLoad(d, up + i, c);
      const vec slope = act.slope(d, gate_i);
      math::PartialStore(hn::Mul(hn::Mul(slope, up_i), dy_i), d, dgate + i, c);
      math::PartialStore(hn::Mul(act.value(d, gate_i), dy_i), d, dup + i, c);
    });
  });
}

void add(float* y, const float* x, int64_t count) {
  const float_tag d;
  math::ForEachVector(d, count, [&](int64_t i, int64_t c) HWY_ATTR {
    const vec sum = hn::Add(math::PartialLoad(d, y + i, c), math::PartialLoad(d, x + i, c));
    math::PartialStore(sum, d, y + i, c);
  });
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(forward);
HWY_EXPORT(backward);
HWY_EXPORT(gated_forward);
HWY_EXPORT(gated_backward);
HWY_EXPORT(add);

namespace cpu {

/// Floats in a task: some microseconds of work, and within the first-level cache.
static constexpr int64_t task_floats = 4096;

/// Calls body(first, count) for pieces of [0, total).
template <class Body> static void in_pieces(context& ctx, int64_t total, int64_t piece, Body body) {
  ctx.pool.parallel_for(divide_up(total, piece), [&](int64_t task) {
    const int64_t first = task * piece;
    body(first, std::min(piece, total - first));
  });
}

void activation_forward(context& ctx, const activation_args& args) {
  in_pieces(ctx, args.n * args.f, task_floats, [&](int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(forward)(args.y_NF + first, args.x_NF + first, count, args.kind);
  });
}

void activation_backward(context& ctx, const activation_backward_args& args) {
  in_pieces(ctx, args.n * args.f, task_floats, [&](int64_t first, int64_t count) {
    HWY_DYNAMIC_DISPATCH(backward)
    (args.dx_NF + first, args.dy_NF + first, args.x_NF + first, count, args.kind);
  });
}

static int64_t rows_in_task(int64_t f) { return std::max(int64_t{1}, task_floats / f); }

void gated_activation_forward(context& ctx, const gated_activation_args& args) {
  const int64_t f = args.f;
  in_pieces(ctx, args.n, rows_in_task(f), [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      const float* gate = args.gate_up_N2F + row * 2 * f;
      HWY_DYNAMIC_DISPATCH(gated_forward)(args.y_NF + row * f, gate, gate + f, f, args.kind);
    }
  });
}

void gated_activation_backward(context& ctx, const gated_activation_backward_args& args) {
  const int64_t f = args.f;
  in_pieces(ctx, args.n, rows_in_task(f), [&](int64_t first, int64_t count) {
    for (int64_t row = first; row < first + count; ++row) {
      const float* gate = args.gate_up_N2F + row * 2 * f;
      float* dgate = args.dgate_up_N2F + row * 2 * f;
      HWY_DYNAMIC_DISPATCH(gated_backward)
      (dgate, dgate + f, args.dy_NF + row * f, gate, gate + f, f, args.kind);
    }
  });
}

void add_in_place(context& ctx, reals y, const_reals x, int64_t count) {
  in_pieces(ctx, count, task_floats, [&](int64_t first, int64_t size) {
    HWY_DYNAMIC_DISPATCH(add)(y + first, x + first, size);
  });
}

}  // namespace cpu
}  // namespace troupe::kernels
#endif  // HWY_ONCE
