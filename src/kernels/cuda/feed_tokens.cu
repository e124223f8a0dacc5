#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/feed_tokens.hpp"

namespace troupe::kernels::cuda {

namespace {

__global__ void feed_kernel(feed_tokens_args args) {
  const int64_t n = element_index();
  if (n >= args.n) {
    return;
  }
  const int32_t source = args.source_N[n];
  int32_t token = source < 0 ? args.given_N[n] : args.drawn_M[source].token;
  token = token < 0 ? 0 : token;
  args.token_N[n] = token;
  if (args.context_at_N[n] >= 0) {
    args.context[args.context_at_N[n]] = token;
  }
}

}  // namespace

void feed_tokens(context& ctx, const feed_tokens_args& args) {
  launch(feed_kernel, blocks_by_element(args.n), element_block(), compute_stream(ctx), args);
}

}  // namespace troupe::kernels::cuda
