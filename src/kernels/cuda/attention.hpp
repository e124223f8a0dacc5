/// The attention of kernels/attention.hpp on a card. A page's keys are [G, 64, K] there, as its values are.
///
/// bfloat16  Keys in tiles of 64, tiles in spans of 512 keys of a sequence. A span has a running maximum and sum; spans
///           are folded in rising order. Packed rows, rows of a prompt and decoded rows run the same tile function, and
///           who computes the spans (one block, or one block each) changes nothing: a row has the same bits in each of
///           the forms, in any batch and after any split of its prompt. Scores, maxima and sums are float32,
///           probabilities are rounded to bfloat16 before they meet the values.
/// float32   One warp a row and head, for either form; plain, for comparisons.
/// Backward  One kernel over keys (dk and dv), one over queries (dq): the scores are computed twice, and no sum has two
///           writers.
#pragma once

#include "kernels/attention.hpp"

namespace troupe::kernels::cuda {

inline constexpr int64_t attention_span = 512;

/// Errors  TROUPE_ASSERT: heads wider than 256.
void attention_forward(context& ctx, const attention_args& args);
void attention_backward(context& ctx, const attention_backward_args& args);
void paged_attention_forward(context& ctx, const paged_attention_args& args);

}  // namespace troupe::kernels::cuda
