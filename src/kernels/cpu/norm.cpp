#include "kernels/cpu/norm.hpp"

#include "base/round_up.hpp"
#include "kernels/cpu/as_floats.hpp"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
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

/// x += add where there is something to add.
static void add_row(float* x, const float* add, int64_t d) {
  const tag t;
  if (add == nullptr) {
    return;
  }
  math::ForEachVector(t, d, [&](int64_t i, int64_t count) HWY_ATTR {
    const auto sum = hn::Add(math::PartialLoad(t, x + i, count), math::PartialLoad(t, add + i, count));
    math::PartialStore(sum, t, x + i, count);
  });
}

static float sum_of(const float* x, int64_t d) {
  const tag t;
  return math::SumLanes(t, math::FoldLanes(t, d, 0.0F, [&](vector acc, int64_t i, int64_t count) HWY_ATTR {
                          return hn::Add(acc, math::PartialLoad(t, x + i, count));
                        }));
}

/// Sum of (x - mean)^2: the second pass, since the difference of two large sums would lose the
/// variance.
static float sum_of_squared_deviations(const float* x, int64_t d, float mean) {
  const tag t;
  const vector m = hn::Set(t, mean);
  return math::SumLanes(t, math::FoldLanes(t, d, 0.0F, [&](vector acc, int64_t i, int64_t count) HWY_ATTR {
                          const vector deviation = hn::Sub(math::PartialLoad(t, x + i, count, mean), m);
                          return hn::MulAdd(deviation, deviation, acc);
                        }));
}

void layer_norm_rows(const norm_args& args, const float* gamma, const float* beta, int64_t begin, int64_t end) {
  const tag t;
  const int64_t d = args.d;
  for (int64_t row = begin; row < end; ++row) {
    float* x = args.x_ND + row * d;
    float* y = args.y_ND + row * d;
    add_row(x, args.add_ND == nullptr ? nullptr : args.add_ND + row * d, d);
    const float mean = sum_of(x, d) / static_cast<float>(d);
    const float variance = sum_of_squared_deviations(x, d, mean) / static_cast<float>(d);
    const float rstd = 1.0F / std::sqrt(variance + args.epsilon);
    const vector mean_v = hn::Set(t, mean);
    const vector rstd_v = hn::Set(t, rstd);
    math::ForEachVector(t, d, [&](int64_t i, int64_t count) HWY_ATTR {
      const vector unit = hn::Mul(hn::Sub(math::PartialLoad(t, x + i, count), mean_v), rstd_v);
      const vector scaled =
          hn::MulAdd(unit, math::PartialLoad(t, gamma + i, count), math::PartialLoad(t, beta + i, count));
      math::PartialStore(scaled, t, y + i, count);
    });
    if (args.mean_N != nullptr) {
      args.mean_N[row] = mean;
    }
    if (args.rstd_N != nullptr) {
      args.rstd_N[row] = rstd;
    }
  }
}

void rms_norm_rows(const norm_args& args, const float* gamma, int64_t begin, int64_t end) {
  const tag t;
  const int64_t d = args.d;
  for (int64_t row = begin; row < end; ++row) {
    float* x = args.x_ND + row * d;
    float* y = args.y_ND + row * d;
    add_row(x, args.add_ND == nullptr ? nullptr : args.add_ND + row * d, d);
    const float mean_square = sum_of_squared_deviations(x, d, 0.0F) / static_cast<float>(d);
    const float rstd = 1.0F / std::sqrt(mean_square + args.epsilon);
    const vector rstd_v = hn::Set(t, rstd);
    math::ForEachVector(t, d, [&](int64_t i, int64_t count) HWY_ATTR {
      const vector unit = hn::Mul(math::PartialLoad(t, x + i, count), rstd_v);
      math::PartialStore(hn::Mul(unit, math::PartialLoad(t, gamma + i, count)), t, y + i, count);
    });
    if (args.rstd_N != nullptr) {
      args.rstd_N[row] = rstd;
    }
  }
}

/// What one element needs: g = dy gamma, and the normalised input (x - mean) rstd.
struct gradient_terms {
  vector g, unit;
};

static HWY_INLINE gradient_terms terms(const norm_backward_args& args, const float* gamma, int64_t row, int64_t i,
                                       int64_t count, float mean, float rstd) {
  const tag t;
  const int64_t at = row * args.d + i;
  const vector x = math::PartialLoad(t, args.x_ND + at, count, mean);
  const vector dy = math::PartialLoad(t, args.dy_ND + at, count);
  return {hn::Mul(dy, math::PartialLoad(t, gamma + i, count)), hn::Mul(hn::Sub(x, hn::Set(t, mean)), hn::Set(t, rstd))};
}

/// dx += rstd (g - mean(g) - unit mean(g unit)); RMSNorm (no mean_N) has no mean(g).
void norm_backward_rows(const norm_backward_args& args, const float* gamma, int64_t begin, int64_t end) {
  const tag t;
  const auto width = static_cast<float>(args.d);
  for (int64_t row = begin; row < end; ++row) {
    const float rstd = args.rstd_N[row];
    const bool centred = args.mean_N != nullptr;
    const float mean = centred ? args.mean_N[row] : 0.0F;
    const auto along = math::FoldLanes(t, args.d, 0.0F, [&](vector acc, int64_t i, int64_t count) HWY_ATTR {
      const gradient_terms e = terms(args, gamma, row, i, count, mean, rstd);
      return hn::MulAdd(e.g, e.unit, acc);
    });
    const auto total = math::FoldLanes(t, args.d, 0.0F, [&](vector acc, int64_t i, int64_t count) HWY_ATTR {
      return hn::Add(acc, terms(args, gamma, row, i, count, mean, rstd).g);
    });
    const vector mean_g = hn::Set(t, centred ? math::SumLanes(t, total) / width : 0.0F);
    const vector mean_along = hn::Set(t, math::SumLanes(t, along) / width);
    math::ForEachVector(t, args.d, [&](int64_t i, int64_t count) HWY_ATTR {
      const gradient_terms e = terms(args, gamma, row, i, count, mean, rstd);
      float* dx = args.dx_ND + row * args.d + i;
      const vector inner = hn::NegMulAdd(e.unit, mean_along, hn::Sub(e.g, mean_g));
      const vector sum = hn::MulAdd(hn::Set(t, rstd), inner, math::PartialLoad(t, dx, count));
      math::PartialStore(sum, t, dx, count);
    });
  }
}

/// dgamma += sum_n dy unit, dbeta += sum_n dy over columns [begin, end): one chain per column, rows
/// rising.
void norm_backward_columns(const norm_backward_args& args, int64_t begin, int64_t end) {
  const tag t;
  math::ForEachVector(t, end - begin, [&](int64_t offset, int64_t count) HWY_ATTR {
    const int64_t i = begin + offset;
    vector dgamma = math::PartialLoad(t, args.dgamma_D + i, count);
    vector dbeta = hn::Zero(t);
    if (args.dbeta_D != nullptr) {
      dbeta = math::PartialLoad(t, args.dbeta_D + i, count);
    }
    for (int64_t row = 0; row < args.n; ++row) {
      const float mean = args.mean_N != nullptr ? args.mean_N[row] : 0.0F;
      const vector x = math::PartialLoad(t, args.x_ND + row * args.d + i, count);
      const vector dy = math::PartialLoad(t, args.dy_ND + row * args.d + i, count);
      const vector unit = hn::Mul(hn::Sub(x, hn::Set(t, mean)), hn::Set(t, args.rstd_N[row]));
      dgamma = hn::MulAdd(dy, unit, dgamma);
      dbeta = hn::Add(dbeta, dy);
    }
    math::PartialStore(dgamma, t, args.dgamma_D + i, count);
    if (args.dbeta_D != nullptr) {
      math::PartialStore(dbeta, t, args.dbeta_D + i, count);
    }
  });
}

}  // namespace troupe::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe::kernels {

HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(rms_norm_rows);
HWY_EXPORT(norm_backward_rows);
HWY_EXPORT(norm_backward_columns);

static constexpr int64_t rows_per_task = 16;
static constexpr int64_t columns_per_task = 64;

/// Calls body(begin, end) for pieces of [0, n).
template <class Body> static void in_pieces(context& ctx, int64_t n, int64_t piece, const Body& body) {
  ctx.pool.parallel_for(divide_up(n, piece),
                        [&](int64_t task) { body(task * piece, std::min((task + 1) * piece, n)); });
}

void cpu::layer_norm_forward(context& ctx, const norm_args& args) {
  const cpu::as_floats gamma(args.gamma_D, args.d), beta(args.beta_D, args.d);
  in_pieces(ctx, args.n, rows_per_task, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(layer_norm_rows)(args, gamma.data(), beta.data(), begin, end);
  });
}

void cpu::rms_norm_forward(context& ctx, const norm_args& args) {
  const cpu::as_floats gamma(args.gamma_D, args.d);
  in_pieces(ctx, args.n, rows_per_task, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(rms_norm_rows)(args, gamma.data(), begin, end);
  });
}

void cpu::layer_norm_backward(context& ctx, const norm_backward_args& args) {
  const cpu::as_floats gamma(args.gamma_D, args.d);
  in_pieces(ctx, args.n, rows_per_task, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(norm_backward_rows)(args, gamma.data(), begin, end);
  });
  in_pieces(ctx, args.d, columns_per_task, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(norm_backward_columns)(args, begin, end);
  });
}

void cpu::rms_norm_backward(context& ctx, const norm_backward_args& args) {
  norm_backward_args plain = args;  // the row code tells the two norms apart by these
  plain.mean_N = nullptr;
  plain.dbeta_D = nullptr;
  cpu::layer_norm_backward(ctx, plain);
}

}  // namespace troupe::kernels
#endif  // HWY_ONCE
