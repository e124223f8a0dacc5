/// From the tokens that one step of generation has drawn to those that the next one computes, without the host.
#pragma once

#include "base/context.hpp"
#include "kernels/sampling.hpp"

#include <cstdint>

namespace troupe::kernels {

struct feed_tokens_args {
  int32_t* token_N = nullptr;         ///< what the step computes
  const int32_t* given_N = nullptr;   ///< for rows whose token is known
  const int32_t* source_N = nullptr;  ///< which row of the step before has drawn the row's token; -1: given_n is it
  const sampled_token* drawn_M = nullptr;  ///< of the step before
  int32_t* context = nullptr;              ///< ids that repetition penalties look at
  const int64_t* context_at_N = nullptr;   ///< where among them the row's token goes too; -1: nowhere
  int64_t n = 0;
};

/// token_n = drawn_(source_n), or 0 where that row has drawn none; given_n where there is no source.
void feed_tokens(context& ctx, const feed_tokens_args& args);

}  // namespace troupe::kernels
