/// The sampler of kernels/sampling.hpp on a card: the same tokens in the same order, cut by the same filters.
/// Probabilities are whole numbers of 2^-62 here, so that sums do not depend on the order of threads; a number near the
/// border of two tokens may therefore choose the other one than the host's sampler would.
///
/// Bits    The statistics are log_prob_forward's (row_softmax.cuh): the log-probability of a sampled token is the one
///         that scoring it gives. A row's token depends on the row alone.
#pragma once

#include "kernels/sampling.hpp"

namespace troupe::kernels::cuda {

void sample_rows(context& ctx, const sample_rows_args& args);

}  // namespace troupe::kernels::cuda
