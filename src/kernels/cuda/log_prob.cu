#include "base/assert.hpp"
#include "kernels/card_logits.hpp"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/log_prob.hpp"
#include "kernels/cuda/matrix.hpp"
#include "kernels/cuda/row_softmax.cuh"
#include "kernels/cuda/shared_rows.cuh"
#include "kernels/cuda/token_loss.hpp"

#include <algorithm>

namespace troupe::kernels::cuda {
namespace {

/// Rows of logits, as many as exist at one time, and what is known of them.
struct logit_rows {
  float* logits = nullptr;
  int64_t stride = 0, vocabulary = 0;
  float temperature = 1.0F;
  softmax_statistics* statistics_N = nullptr;
  float *logprob_N = nullptr, *entropy_N = nullptr;  ///< entropy: or null
  const int32_t* target_N = nullptr;
};

/// - sum p log p.
__device__ inline float row_entropy(const float* scaled_logits, int64_t vocabulary, const softmax_statistics& s) {
  float sum = 0;
  for (int64_t v = threadIdx.x; v < vocabulary; v += row_threads) {
    const float log_p = log_prob_of(scaled_logits, s, v);
    sum = __fmaf_rn(-expf(log_p), log_p, sum);
  }
  return block_sum(sum);
}

__global__ void __launch_bounds__(row_threads, 2) forward_kernel(logit_rows rows) {
  const int64_t row = blockIdx.x;
  float* logits = rows.logits + row * rows.stride;
  const softmax_statistics s = row_statistics(logits, rows.vocabulary, rows.temperature);
  float entropy = 0;
  if (rows.entropy_N != nullptr) {
    entropy = row_entropy(logits, rows.vocabulary, s);
  }
  if (threadIdx.x == 0) {
    rows.statistics_N[row] = s;
    rows.logprob_N[row] = log_prob_of(logits, s, rows.target_N[row]);
    if (rows.entropy_N != nullptr) {
      rows.entropy_N[row] = entropy;
    }
  }
}

/// The gradient of each logit, which may stand where the logit stood.
template <class Gradient>
__global__ void __launch_bounds__(row_threads, 2)
    gradient_kernel(logit_rows rows, const token_terms* terms_N, Gradient* gradients) {
  const int64_t row = blockIdx.x, target = rows.target_N[row];
  const float* logits = rows.logits + row * rows.stride;
  const softmax_statistics s = rows.statistics_N[row];
  const float entropy = rows.entropy_N[row], dlogprob = terms_N[row].dlogprob, dentropy = terms_N[row].dentropy;
  const float minus_reciprocal = __fdiv_rn(-1.0F, rows.temperature);
  for (int64_t v = threadIdx.x; v < rows.vocabulary; v += row_threads) {
    const float log_p = log_prob_of(logits, s, v);
    const float weight = __fmaf_rn(dentropy, __fadd_rn(log_p, entropy), dlogprob);
    float slope = __fmul_rn(__fmul_rn(expf(log_p), weight), minus_reciprocal);
    if (v == target) {
      slope = __fadd_rn(slope, __fdiv_rn(dlogprob, rows.temperature));
    }
    gradients[row * rows.stride + v] = rounded<Gradient>(slope);
  }
}

/// A part of the rows of one call at a time. `gradients`: of the type of x, with a place of their own if that is
/// bfloat16. Products need no scratch memory: this is all of it.
class head {
public:
  head(context& ctx, const log_prob_args& args, bool gradients) : ctx_(ctx), args_(args) {
    const card_logits most = card_logits_of(args.vocabulary);
    rows_ = most.rows;
    stride_ = most.stride;
    const bool narrow = gradients && args.x_ND.type() == dtype::bf16;
    const card_logit_room room = card_logit_room_of(std::min(rows_, args.n), stride_, narrow);
    std::byte* place = scratch(ctx, room.bytes);
    logits_ = reinterpret_cast<float*>(place);
    statistics_ = reinterpret_cast<softmax_statistics*>(place + room.statistics);
    gradients_ = narrow ? reals(reinterpret_cast<bf16*>(place + room.gradients)) : reals(logits_);
    TROUPE_ASSERT(rows_aligned(gradients_.data(), stride_));  // else products would read them element by element
  }

  int64_t rows() const { return rows_; }
  int64_t stride() const { return stride_; }
  reals gradients() const { return gradients_; }

  /// Rows [first, first + count): logits, then log-probabilities and entropies into the outputs.
  logit_rows forward(int64_t first, int64_t count) {
    linear_forward(ctx_, {.y_NO = logits_,
                          .x_NI = args_.x_ND + first * args_.d,
                          .weight = args_.weight,
                          .bias_O = args_.bias_V,
                          .n = count,
                          .outputs = args_.vocabulary,
                          .inputs = args_.d,
                          .y_stride = stride_});
    const logit_rows rows{.logits = logits_,
                          .stride = stride_,
                          .vocabulary = args_.vocabulary,
                          .temperature = args_.temperature,
                          .statistics_N = statistics_,
                          .logprob_N = args_.logprob_N + first,
                          .entropy_N = args_.entropy_N == nullptr ? nullptr : args_.entropy_N + first,
                          .target_N = args_.target_N + first};
    launch(forward_kernel, dim3(static_cast<unsigned>(count)), dim3(row_threads), compute_stream(ctx_), rows);
    return rows;
  }

private:
  context& ctx_;
  const log_prob_args& args_;
  int64_t stride_ = 0, rows_ = 0;
  float* logits_ = nullptr;
  softmax_statistics* statistics_ = nullptr;
  reals gradients_ = nullptr;
};

}  // namespace

void log_prob_forward(context& ctx, const log_prob_args& args) {
  if (args.n == 0) {
    return;
  }
  head h(ctx, args, false);
  for (int64_t first = 0; first < args.n; first += h.rows()) {
    h.forward(first, std::min(h.rows(), args.n - first));
  }
}

void log_prob_train(context& ctx, const log_prob_train_args& args) {
  const log_prob_args& f = args.forward;
  if (f.n == 0) {
    return;
  }
  head h(ctx, f, true);
  for (int64_t first = 0; first < f.n; first += h.rows()) {
    const int64_t count = std::min(h.rows(), f.n - first);
    const logit_rows rows = h.forward(first, count);
    token_terms_of(ctx, args.loss, f.logprob_N, f.entropy_N, first, first + count);
    with_element(h.gradients().type(), [&](auto element) {
      using T = decltype(element);
      launch(gradient_kernel<T>, dim3(static_cast<unsigned>(count)), dim3(row_threads), compute_stream(ctx), rows,
             args.loss.terms_N + first, h.gradients().as<T>());
    });
    linear_backward_input(ctx, {.dx_NI = args.dx_ND + first * f.d,
                                .dy_NO = h.gradients(),
                                .weight = f.weight,
                                .n = count,
                                .outputs = f.vocabulary,
                                .inputs = f.d,
                                .dy_stride = h.stride()});
    linear_backward_weight(ctx, {.dweight = args.dweight,
                                 .dbias_O = args.dbias_V,
                                 .x_NI = f.x_ND + first * f.d,
                                 .dy_NO = h.gradients(),
                                 .n = count,
                                 .outputs = f.vocabulary,
                                 .inputs = f.d,
                                 .dy_stride = h.stride()});
  }
}

}  // namespace troupe::kernels::cuda
