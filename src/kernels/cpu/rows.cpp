#include "kernels/cpu/rows.hpp"

#include "base/round_up.hpp"

#include <algorithm>
#include <functional>

namespace troupe::kernels::cpu {

namespace {

/// Floats in a task: what one thread copies sooner than another is woken.
constexpr int64_t task_floats = 32768;

/// Calls body(begin, end) for pieces of n rows, on the caller's thread where they are few.
template <class Body> void in_pieces(context& ctx, int64_t n, int64_t width, const Body& body) {
  const int64_t rows = std::max(int64_t{1}, task_floats / std::max(int64_t{1}, width));
  const auto task = [&](int64_t i) { body(i * rows, std::min((i + 1) * rows, n)); };
  ctx.pool.parallel_for(divide_up(n, rows), std::ref(task));
}

void copy_values(const float* from, int64_t count, float* to) { std::copy_n(from, count, to); }
void copy_values(const bf16* from, int64_t count, bf16* to) { std::copy_n(from, count, to); }
void copy_values(const bf16* from, int64_t count, float* to) {
  std::transform(from, from + count, to, [](bf16 value) { return to_float(value); });
}
void copy_values(const float* from, int64_t count, bf16* to) { std::transform(from, from + count, to, to_bf16); }

template <class To, class From> void copy_as(context& ctx, const copy_rows_args& args) {
  const bool whole = args.to_stride == args.width && args.from_stride == args.width;
  To* to = args.to.as<To>();
  const From* from = args.from.as<From>();
  in_pieces(ctx, args.n, args.width, [&](int64_t begin, int64_t end) {
    if (whole) {
      copy_values(from + begin * args.width, (end - begin) * args.width, to + begin * args.width);
      return;
    }
    for (int64_t row = begin; row < end; ++row) {
      copy_values(from + row * args.from_stride, args.width, to + row * args.to_stride);
    }
  });
}

template <class To> void copy_to(context& ctx, const copy_rows_args& args) {
  args.from.type() == dtype::bf16 ? copy_as<To, bf16>(ctx, args) : copy_as<To, float>(ctx, args);
}

}  // namespace

void copy_rows(context& ctx, const copy_rows_args& args) {
  args.to.type() == dtype::bf16 ? copy_to<bf16>(ctx, args) : copy_to<float>(ctx, args);
}

void gather_rows(context& ctx, const gather_rows_args& args) {
  in_pieces(ctx, args.rows, args.d, [&](int64_t begin, int64_t end) {
    for (int64_t a = begin; a < end; ++a) {
      std::copy_n(args.from_ND.as<float>() + args.row_A[a] * args.d, args.d, args.to_AD.as<float>() + a * args.d);
    }
  });
}

void scatter_rows(context& ctx, const scatter_rows_args& args) {
  zero(ctx, args.to_ND, args.n * args.d);
  in_pieces(ctx, args.rows, args.d, [&](int64_t begin, int64_t end) {
    for (int64_t a = begin; a < end; ++a) {
      std::copy_n(args.from_AD.as<float>() + a * args.d, args.d, args.to_ND.as<float>() + args.row_A[a] * args.d);
    }
  });
}

void zero(context& ctx, reals values, int64_t count) {
  in_pieces(ctx, count, 1,
            [&](int64_t begin, int64_t end) { std::fill_n(values.as<float>() + begin, end - begin, 0.0F); });
}

}  // namespace troupe::kernels::cpu
