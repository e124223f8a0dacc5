/// CPU twins of log_prob.hpp; arguments have been checked.
#pragma once

#include "kernels/log_prob.hpp"

namespace troupe::kernels::cpu {

softmax_statistics log_softmax_row(float* logits_V, int64_t vocabulary, float temperature);

/// Log-probability of the target, and where asked for the entropy, of each row of logits (scaled in
/// place).
struct log_prob_rows_args {
  float* logits_NV = nullptr;
  softmax_statistics* statistics_N = nullptr;
  float* logprob_N = nullptr;
  float* entropy_N = nullptr;  ///< or null
  const int32_t* target_N = nullptr;
  int64_t n = 0, vocabulary = 0;
  float temperature = 1.0F;
};

void log_prob_rows(context& ctx, const log_prob_rows_args& args);

/// Replaces scaled logits by the loss's gradient with respect to the logits before scaling.
void log_prob_rows_backward(context& ctx, const log_prob_rows_args& rows, const token_terms* terms_N);

}  // namespace troupe::kernels::cpu
