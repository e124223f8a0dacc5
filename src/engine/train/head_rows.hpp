/// Between a batch's hidden states and the rows of them that a head reads. Private to this folder.
#pragma once

#include "base/context.hpp"
#include "engine/models/inference_model.hpp"
#include "engine/objectives/rows.hpp"

#include <span>
#include <vector>

namespace troupe::engine {

/// rows_AD[a] = hidden_ND[row_A[a]].
void gather_rows(std::span<const int64_t> row_A, int64_t width, const float* hidden_ND, float* rows_AD);

/// dhidden_ND[row_A[a]] = drows_AD[a], 0 elsewhere; n rows. Each row occurs once.
void scatter_rows(std::span<const int64_t> row_A, int64_t width, int64_t n, const float* drows_AD, float* dhidden_ND);

/// What the softmax divides by: greedy decoding (0) scores with 1.
inline float softmax_temperature(float temperature) { return temperature > 0 ? temperature : 1.0F; }

/// Errors  bad_argument: the model has the other kind of head.
void require_language_model(const inference_model& net);
void require_scalar_head(const inference_model& net);

/// The scalar head's product, forward: [N] scores of [N, D] rows.
std::vector<float> scalar_scores(context& ctx, const inference_model& net, const weights_view& weights,
                                 const float* rows_ND, int64_t n);

/// And backward: drows is overwritten, the head's gradient accumulated onto.
void scalar_scores_backward(context& ctx, const inference_model& net, const weights_view& weights, const float* rows_ND,
                            std::span<const float> dscore_N, float* drows_ND, float* gradients);

}  // namespace troupe::engine
