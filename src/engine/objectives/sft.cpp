#include "engine/objectives/sft.hpp"

#include "engine/objectives/checks.hpp"

#include <cmath>

namespace troupe::engine {

void lm_statistics::add(const lm_statistics& other) {
  nll_nats += other.nll_nats;
  tokens += other.tokens;
  weighted_loss += other.weighted_loss;
}

double lm_statistics::perplexity() const { return std::exp(mean_nll_nats()); }

void lm_loss(const lm_scale& scale, std::span<const float> logprob_A, std::span<float> dlogprob_A,
             lm_statistics& statistics) {
  check_size("dlogprob_A", dlogprob_A.size(), "logprob_A", logprob_A.size());
  if (logprob_A.empty()) {
    return;
  }
  if (!(scale.tokens > 0)) {
    throw error(errc::bad_argument,
                "the update's token count is {}, but {} tokens are to be learnt: count them over "
                "all micro-batches",
                scale.tokens, logprob_A.size());
  }
  const double weight = scale.coefficient / scale.tokens;
  double sum = 0;
  for (size_t a = 0; a < logprob_A.size(); ++a) {
    check_finite(logprob_A[a], "logprob_A", a);
    sum -= logprob_A[a];
    dlogprob_A[a] = static_cast<float>(-weight);
  }
  statistics.nll_nats += sum;
  statistics.tokens += static_cast<int64_t>(logprob_A.size());
  statistics.weighted_loss += weight * sum;
}

}  // namespace troupe::engine
