/// Forward passes without gradients: what references, reward models and critics are asked. A batch without sequences
/// has no scores; where weights are fetched it fetches what others do meanwhile.
#pragma once

#include "base/context.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/train/batch.hpp"

#include <vector>

namespace troupe::engine {

/// Log-probabilities of the answer tokens (nats), packed as answer_rows has them. With prompt
/// lengths of 1: of every token but the first. A temperature of 0 (greedy) counts as 1, as in
/// sampling.
/// Errors  bad_argument: the model has a scalar head; and those of transformer::forward and answer_rows.
std::vector<float> answer_log_probs(context& ctx, const inference_model& net, const weights_view& weights,
                                    const packed_batch& batch, float temperature);

/// The scalar head at every row.
/// Errors  bad_argument: the model has a language-model head.
std::vector<float> row_scores(context& ctx, const inference_model& net, const weights_view& weights,
                              const packed_batch& batch);

/// The scalar head at each sequence's last token: a reward model's verdict. [B]
std::vector<float> end_scores(context& ctx, const inference_model& net, const weights_view& weights,
                              const packed_batch& batch);

/// The scalar head at the rows that predict the answer tokens: a critic's value before each of
/// them. [A]
std::vector<float> answer_values(context& ctx, const inference_model& net, const weights_view& weights,
                                 const packed_batch& batch);

}  // namespace troupe::engine
