#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/token_loss.hpp"

namespace troupe::kernels::cuda {

namespace {

__global__ void terms_kernel(token_loss loss, const float* logprob_N, const float* entropy_N, int64_t begin,
                             int64_t end) {
  const int64_t n = begin + element_index();
  if (n < end) {
    loss.terms_N[n] = terms_of(loss, n, logprob_N[n], entropy_N[n]);
  }
}

}  // namespace

void token_terms_of(context& ctx, const token_loss& loss, const float* logprob_N, const float* entropy_N, int64_t begin,
                    int64_t end) {
  if (begin < end) {
    launch(terms_kernel, blocks_by_element(end - begin), element_block(), compute_stream(ctx), loss, logprob_N,
           entropy_N, begin, end);
  }
}

}  // namespace troupe::kernels::cuda
