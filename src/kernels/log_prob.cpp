#include "kernels/log_prob.hpp"

#include "base/aligned.hpp"
#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/cpu/log_prob.hpp"
#include "kernels/device_ops.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace troupe::kernels {

static void check_temperature(float temperature) {
  if (!(temperature > 0) || !std::isfinite(temperature)) {
    throw error(errc::bad_argument, "log_prob: temperature is {}; must be positive", temperature);
  }
}

static void check(const context& ctx, const log_prob_args& args) {
  if (args.n < 0 || args.d < 1 || args.vocabulary < 1) {
    throw error(errc::shape_mismatch, "log_prob: {} rows {} wide over a vocabulary of {}", args.n, args.d,
                args.vocabulary);
  }
  check_temperature(args.temperature);
  for (int64_t row = 0; row < args.n && ctx.on == nullptr; ++row) {
    if (args.target_N[row] < 0 || args.target_N[row] >= args.vocabulary) {
      throw error(errc::bad_argument, "log_prob: target {} of row {} is outside [0, {})", args.target_N[row], row,
                  args.vocabulary);
    }
  }
}

static void check(const context& ctx, const log_prob_train_args& args) {
  check(ctx, args.forward);
  const token_loss& loss = args.loss;
  const bool complete =
      args.forward.logprob_N != nullptr && args.forward.entropy_N != nullptr && loss.terms_N != nullptr;
  if (args.forward.n > 0 && !complete) {
    throw error(errc::bad_argument, "log_prob_train: logprob_N, entropy_N and terms_N are all required");
  }
  const bool policy = loss.logprob_old_N != nullptr && loss.advantage_N != nullptr && loss.weight_N != nullptr &&
                      (loss.logprob_ref_N != nullptr || loss.policy.kl_coefficient == 0);
  if (args.forward.n > 0 && loss.kind == loss_kind::policy && !policy) {
    throw error(errc::bad_argument,
                "log_prob_train: a policy's loss needs logprob_old_N, advantage_N, weight_N and, for "
                "a term of KL, logprob_ref_N");
  }
}

softmax_statistics log_softmax_row(float* logits_V, int64_t vocabulary, float temperature) {
  if (vocabulary < 1) {
    throw error(errc::shape_mismatch, "log_softmax_row: a row of {} logits", vocabulary);
  }
  check_temperature(temperature);
  return cpu::log_softmax_row(logits_V, vocabulary, temperature);
}

int64_t logit_rows(int64_t vocabulary) {
  constexpr int64_t most_floats = int64_t{1} << 22;
  return std::clamp<int64_t>(most_floats / vocabulary / 16 * 16, 16, 256);
}

namespace {

/// The logits of a few rows.
class logit_chunk {
public:
  explicit logit_chunk(const log_prob_args& args)
      : args_(args), rows_(std::min(args.n, logit_rows(args.vocabulary))), logits_NV_(rows_ * args.vocabulary),
        statistics_N_(static_cast<size_t>(rows_)) {}

  int64_t rows() const { return rows_; }
  const float* logits() const { return logits_NV_.data(); }

  /// Rows [first, first + count): logits, then log-probabilities and entropies into the arguments'
  /// outputs.
  cpu::log_prob_rows_args forward(context& ctx, int64_t first, int64_t count) {
    linear_forward(ctx, {.y_NO = logits_NV_.data(),
                         .x_NI = args_.x_ND + first * args_.d,
                         .weight = args_.weight,
                         .bias_O = args_.bias_V,
                         .n = count,
                         .outputs = args_.vocabulary,
                         .inputs = args_.d});
    const cpu::log_prob_rows_args rows{.logits_NV = logits_NV_.data(),
                                       .statistics_N = statistics_N_.data(),
                                       .logprob_N = args_.logprob_N + first,
                                       .entropy_N = args_.entropy_N == nullptr ? nullptr : args_.entropy_N + first,
                                       .target_N = args_.target_N + first,
                                       .n = count,
                                       .vocabulary = args_.vocabulary,
                                       .temperature = args_.temperature};
    cpu::log_prob_rows(ctx, rows);
    return rows;
  }

private:
  const log_prob_args& args_;
  int64_t rows_;
  aligned_buffer<float> logits_NV_;
  std::vector<softmax_statistics> statistics_N_;
};

}  // namespace

void log_prob_forward(context& ctx, const log_prob_args& args) {
  check(ctx, args);
  if (ctx.on != nullptr) {
    return ctx.on->ops().log_prob_forward(ctx, args);
  }
  logit_chunk chunk(args);
  for (int64_t first = 0; first < args.n; first += chunk.rows()) {
    chunk.forward(ctx, first, std::min(chunk.rows(), args.n - first));
  }
}

void log_prob_train(context& ctx, const log_prob_train_args& args) {
  check(ctx, args);
  if (ctx.on != nullptr) {
    return ctx.on->ops().log_prob_train(ctx, args);
  }
  const log_prob_args& f = args.forward;
  logit_chunk chunk(f);
  for (int64_t first = 0; first < f.n; first += chunk.rows()) {
    const int64_t count = std::min(chunk.rows(), f.n - first);
    const cpu::log_prob_rows_args rows = chunk.forward(ctx, first, count);
    for (int64_t row = first; row < first + count; ++row) {
      args.loss.terms_N[row] = terms_of(args.loss, row, f.logprob_N[row], f.entropy_N[row]);
    }
    cpu::log_prob_rows_backward(ctx, rows, args.loss.terms_N + first);
    linear_backward_input(ctx, {.dx_NI = args.dx_ND + first * f.d,
                                .dy_NO = chunk.logits(),
                                .weight = f.weight,
                                .n = count,
                                .outputs = f.vocabulary,
                                .inputs = f.d});
    linear_backward_weight(ctx, {.dweight = args.dweight,
                                 .dbias_O = args.dbias_V,
                                 .x_NI = f.x_ND + first * f.d,
                                 .dy_NO = chunk.logits(),
                                 .n = count,
                                 .outputs = f.vocabulary,
                                 .inputs = f.d});
  }
}

}  // namespace troupe::kernels
