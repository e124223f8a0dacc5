/// The language-model head of kernels/log_prob.hpp on a card. Logits are float32 and exist for a few hundred rows at a
/// time, in the card's scratch memory; log_prob_train's gradients of them are rounded to the type of x, the matrix
/// units' operands.
///
/// Bits    A row's log-probability depends on the row alone. Gradients of the weight are sums over the rows that are
///         computed at one time, in order: how many those are depends on the vocabulary alone.
#pragma once

#include "kernels/log_prob.hpp"

namespace troupe::kernels::cuda {

void log_prob_forward(context& ctx, const log_prob_args& args);
void log_prob_train(context& ctx, const log_prob_train_args& args);

}  // namespace troupe::kernels::cuda
