/// Losses of tokens (kernels/token_loss.hpp) on a card.
#pragma once

#include "base/context.hpp"
#include "kernels/token_loss.hpp"

#include <cstdint>

namespace troupe::kernels::cuda {

/// loss.terms_N of the tokens [begin, end), from their log-probabilities and entropies. Arrays of the loss are the
/// card's, each [N].
void token_terms_of(context& ctx, const token_loss& loss, const float* logprob_N, const float* entropy_N, int64_t begin,
                    int64_t end);

}  // namespace troupe::kernels::cuda
