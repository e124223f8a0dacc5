/// The language-model head and log softmax in one: logits exist for a few rows at a time, never as [N, V].
///
///   z_nv = x_n . W_v / temperature;   logprob_n = z_n,target - log sum_v exp z_nv;   entropy_n = - sum_v p_nv log p_nv
///
/// Bits    A row's logits are linear_forward's and its log softmax is log_softmax_row's, the same code that the
///         sampler uses: the log-probability stored at sampling equals the one computed here, to the last bit.
///         Temperature divides the logit before the softmax; 1 leaves the bits alone.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"
#include "kernels/token_loss.hpp"

#include <cstdint>

namespace troupe::kernels {

/// Of one row of logits.
struct softmax_statistics {
  float maximum = 0;  ///< of z
  float log_sum = 0;  ///< log sum exp(z - maximum); log p_v = (z_v - maximum) - log_sum
};

/// Divides the row by the temperature in place and returns its statistics. Sums over V run in 16 virtual lanes.
softmax_statistics log_softmax_row(float* logits_V, int64_t vocabulary, float temperature);

/// log p_v, with the one formula that everything uses.
TROUPE_HD inline float log_prob_of(const float* scaled_logits_V, const softmax_statistics& s, int64_t v) {
  return (scaled_logits_V[v] - s.maximum) - s.log_sum;
}

struct log_prob_args {
  float* logprob_N = nullptr;
  float* entropy_N = nullptr;         ///< nats; may be null
  const_reals x_ND = nullptr;         ///< last hidden states, after the final norm
  const_reals weight = nullptr;       ///< panels of [V, D]
  const_reals bias_V = nullptr;       ///< or null
  const int32_t* target_N = nullptr;  ///< each in [0, V)
  int64_t n = 0, d = 0, vocabulary = 0;
  float temperature = 1.0F;
};

void log_prob_forward(context& ctx, const log_prob_args& args);

/// Rows whose logits exist at one time: as many as fit 16 MiB, but from 16 to 256, so that a weight that is read once
/// serves many rows.
int64_t logit_rows(int64_t vocabulary);

struct log_prob_train_args {
  reals dx_ND = nullptr;     ///< overwritten
  float* dweight = nullptr;  ///< panels of [V, D]; accumulated onto
  float* dbias_V = nullptr;  ///< accumulated onto; or null
  log_prob_args forward;     ///< outputs are written too (both required)
  token_loss loss;           ///< of the forward's rows
};

/// Forward and backward in one pass over the logits: a loss whose gradient is a function of each row's
/// log-probability and entropy costs no second product with W.
///   dz_nv = (dlogprob_n (1[v = target] - p_nv) - dentropy_n p_nv (log p_nv + entropy_n)) / temperature
void log_prob_train(context& ctx, const log_prob_train_args& args);

}  // namespace troupe::kernels
