/// Forward passes without gradients: what references, reward models and critics are asked.
#pragma once

#include "engine/train/batch.hpp"
#include "kernels/base/context.hpp"

#include <vector>

namespace troupe::engine {

struct token_scores {
  std::vector<float> logprob_A;   ///< nats, log softmax(logits / temperature)
  std::vector<float> entropy_A;   ///< nats
  std::vector<int64_t> offset_B1; ///< of each sequence's answer
};

/// Log-probabilities of the answer tokens. With prompt lengths of 1: of every token but the first.
/// Errors  bad_argument: the model has a scalar head; and those of transformer::forward and
/// answer_rows.
token_scores answer_log_probs(context& ctx, const transformer& net, const float* weights,
                              const packed_batch& batch, float temperature);

/// The scalar head at every row.   Errors  bad_argument: the model has a language-model head.
std::vector<float> row_scores(context& ctx, const transformer& net, const float* weights,
                              const packed_batch& batch);

/// The scalar head at each sequence's last token: a reward model's verdict. [B]
std::vector<float> end_scores(context& ctx, const transformer& net, const float* weights,
                              const packed_batch& batch);

/// The scalar head at the rows that predict the answer tokens: a critic's value before each of
/// them. [A]
std::vector<float> answer_values(context& ctx, const transformer& net, const float* weights,
                                 const packed_batch& batch);

} // namespace troupe::engine
