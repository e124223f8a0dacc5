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

lm_statistics lm_sums(const kernels::token_loss& loss, int64_t first, int64_t last) {
  lm_statistics sums{.tokens = last - first};
  if (first == last) {
    return sums;
  }
  if (!(loss.lm.tokens > 0)) {
    throw error(errc::bad_argument,
                "the update's token count is {}, but {} tokens are to be learnt: count them over "
                "all micro-batches",
                loss.lm.tokens, sums.tokens);
  }
  for (int64_t a = first; a < last; ++a) {
    const double nll_nats = loss.terms_N[a].loss;
    check_finite(-nll_nats, "logprob_A", static_cast<size_t>(a));
    sums.nll_nats += nll_nats;
    sums.weighted_loss += (loss.weight_N == nullptr ? 1.0 : loss.weight_N[a]) * nll_nats;
  }
  sums.weighted_loss *= loss.lm.coefficient / loss.lm.tokens;
  return sums;
}

}  // namespace troupe::engine
