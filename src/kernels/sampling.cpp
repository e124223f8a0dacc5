#include "kernels/sampling.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/sampling.hpp"
#include "kernels/device_ops.hpp"

#include <cmath>

namespace troupe::kernels {

void check_sampling(const sampling_settings& s) {
  const auto reject = [](const char* name, double value, const char* range) {
    throw error(errc::bad_argument, "{} is {}; it must be {}", name, value, range);
  };
  if (!(s.temperature >= 0) || !std::isfinite(s.temperature)) {
    reject("temperature", s.temperature, "0 (greedy) or positive");
  }
  if (s.top_k < 0) {
    reject("top-k", static_cast<double>(s.top_k), "0 (off) or positive");
  }
  if (!(s.top_p > 0 && s.top_p <= 1)) {
    reject("top-p", s.top_p, "above 0 and at most 1 (off)");
  }
  if (!(s.min_p >= 0 && s.min_p <= 1)) {
    reject("min-p", s.min_p, "between 0 (off) and 1");
  }
  if (!(s.repetition_penalty > 0) || !std::isfinite(s.repetition_penalty)) {
    reject("repetition-penalty", s.repetition_penalty, "positive; 1 is off");
  }
}

sampled_token sample_token(std::span<float> logits_V, const sampling_settings& settings,
                           std::span<const int32_t> context, double uniform, sampling_scratch& scratch) {
  check_sampling(settings);
  if (logits_V.empty()) {
    throw error(errc::shape_mismatch, "sampling: no logits to choose from");
  }
  if (!(uniform >= 0 && uniform < 1)) {
    throw error(errc::bad_argument, "sampling: the uniform number is {}; must be in [0, 1)", uniform);
  }
  for (const int32_t id : context) {
    if (id < 0 || static_cast<size_t>(id) >= logits_V.size()) {
      throw error(errc::bad_argument, "sampling: id {} of the context is outside [0, {})", id, logits_V.size());
    }
  }
  return cpu::sample_token(logits_V, settings, context, uniform, scratch);
}

void sample_rows(context& ctx, const sample_rows_args& args) {
  if (args.n < 0 || args.vocabulary < 1 || (args.stride != 0 && args.stride < args.vocabulary)) {
    throw error(errc::shape_mismatch, "sample_rows: {} rows of {} logits, {} floats apart", args.n, args.vocabulary,
                args.stride);
  }
  if (args.n == 0) {
    return;
  }
  if (ctx.on != nullptr) {
    return ctx.on->ops().sample_rows(ctx, args);
  }
  const int64_t stride = args.stride != 0 ? args.stride : args.vocabulary;
  ctx.pool.parallel_for(args.n, [&](int64_t n) {
    thread_local sampling_scratch scratch;
    const row_draw& draw = args.draw_N[n];
    sampling_settings settings = draw.settings;
    settings.repetition_penalty = args.penalties ? settings.repetition_penalty : 1.0F;
    const std::span context(args.context + draw.context_begin, args.context + draw.context_end);
    try {
      args.token_N[n] = sample_token({args.logits_NV + n * stride, static_cast<size_t>(args.vocabulary)}, settings,
                                     context, draw.uniform, scratch);
    } catch (const error& e) {
      if (e.code() != errc::not_finite) {
        throw;
      }
      args.token_N[n] = {.token = -1};
    }
  });
}

}  // namespace troupe::kernels
