/// The operation of kernels/feed_tokens.hpp on a card.
#pragma once

#include "kernels/feed_tokens.hpp"

namespace troupe::kernels::cuda {

void feed_tokens(context& ctx, const feed_tokens_args& args);

}  // namespace troupe::kernels::cuda
