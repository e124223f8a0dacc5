#include "kernels/optimizer.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/optimizer.hpp"
#include "kernels/device_ops.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>

namespace troupe::kernels {

static void check_count(const char* operation, int64_t count) {
  if (count < 0) {
    throw error(errc::shape_mismatch, "{}: {} values", operation, count);
  }
}

static bool in_unit(float value) { return value >= 0.0F && value < 1.0F; }

void adamw_update(context& ctx, const adamw_args& args) {
  check_count("adamw_update", args.count);
  if (args.step < 1) {
    throw error(errc::bad_argument, "adamw_update: step {}; the first update is step 1", args.step);
  }
  if (!in_unit(args.beta1) || !in_unit(args.beta2)) {
    throw error(errc::bad_argument, "adamw_update: beta1 {} and beta2 {} must lie in [0, 1)", args.beta1, args.beta2);
  }
  if (!(args.epsilon > 0.0F)) {
    throw error(errc::bad_argument, "adamw_update: epsilon {} must be positive: padding has no gradient", args.epsilon);
  }
  ctx.on != nullptr ? ctx.on->ops().adamw_update(ctx, args) : cpu::adamw_update(ctx, args);
}

double sum_of_squares(context& ctx, const float* values, int64_t count) {
  check_count("sum_of_squares", count);
  return ctx.on != nullptr ? ctx.on->ops().sum_of_squares(ctx, values, count) : cpu::sum_of_squares(ctx, values, count);
}

void sums_of_squares(context& ctx, const float* values, std::span<const int64_t> offset_P1, std::span<double> sum_P,
                     std::span<const int64_t> inputs_P) {
  if (offset_P1.size() != sum_P.size() + 1 || !std::is_sorted(offset_P1.begin(), offset_P1.end())) {
    throw error(errc::shape_mismatch, "sums_of_squares: {} offsets for {} sums, or they do not rise", offset_P1.size(),
                sum_P.size());
  }
  if (!inputs_P.empty() && inputs_P.size() != sum_P.size()) {
    throw error(errc::shape_mismatch, "sums_of_squares: inputs of {} units for {} sums", inputs_P.size(), sum_P.size());
  }
  for (size_t p = 0; p < inputs_P.size(); ++p) {
    const int64_t count = offset_P1[p + 1] - offset_P1[p];
    if (inputs_P[p] != 0 && inputs_P[p] * panel_width != count) {
      throw error(errc::shape_mismatch, "sums_of_squares: unit {} of {} inputs has {} values", p, inputs_P[p], count);
    }
  }
  ctx.on != nullptr ? ctx.on->ops().sums_of_squares(ctx, values, offset_P1, sum_P, inputs_P)
                    : cpu::sums_of_squares(ctx, values, offset_P1, sum_P);
}

void fold_average(context& ctx, float* average, const float* values, int64_t count, float decay) {
  check_count("fold_average", count);
  if (!(decay >= 0.0F && decay <= 1.0F)) {
    throw error(errc::bad_argument, "fold_average: decay {} must lie in [0, 1]", decay);
  }
  ctx.on != nullptr ? ctx.on->ops().fold_average(ctx, average, values, count, decay)
                    : cpu::fold_average(ctx, average, values, count, decay);
}

}  // namespace troupe::kernels
