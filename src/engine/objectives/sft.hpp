/// Language-model loss (kernels/token_loss.hpp): supervised fine-tuning, perplexity, and the mixture term (PTX) of PPO.
///   loss = coefficient * (- sum_a logprob_a) / tokens,   perplexity = exp(- mean logprob)
/// `tokens` is the global count of predicted tokens in the update (all micro-batches, all ranks),
/// so micro-batches add up to the mean exactly. Mixture (PTX): the update's loss is  ppo_loss +
/// coefficient * mean_lm_loss,  each term its own mean over its own tokens: a coefficient of 1
/// weighs a batch of pre-training text as much as one PPO minibatch, whatever their sizes.
/// (DeepSpeed-Chat multiplies by 27.8 a mean likewise taken over its own tokens, in a step of its
/// own.)
/// Source  Ouyang et al., arXiv:2203.02155, section 3.5.
#pragma once

#include "kernels/token_loss.hpp"

#include <cstdint>

namespace troupe::engine {

struct lm_statistics {
  double nll_nats = 0;  ///< sum of - logprob
  int64_t tokens = 0;
  double weighted_loss = 0;  ///< this piece's share of the update's loss; shares add up to it

  void add(const lm_statistics& other);
  double mean_nll_nats() const { return tokens > 0 ? nll_nats / static_cast<double>(tokens) : 0.0; }
  double perplexity() const;
};

using kernels::lm_scale;

/// Sums the loss's terms of tokens [first, last); of the sums only weighted_loss is weighted. The weights of an update
/// should be 1 on average.
/// Errors  bad_argument: no tokens in the scale; not_finite: a log-probability is NaN.
lm_statistics lm_sums(const kernels::token_loss& loss, int64_t first, int64_t last);

}  // namespace troupe::engine
