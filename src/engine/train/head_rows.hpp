/// The head that reads a batch's hidden states. Private to this folder.
#pragma once

#include "base/context.hpp"
#include "engine/models/inference_model.hpp"

#include <span>
#include <vector>

namespace troupe::engine {

/// What the softmax divides by: greedy decoding (0) scores with 1.
inline float softmax_temperature(float temperature) { return temperature > 0 ? temperature : 1.0F; }

/// Errors  bad_argument: the model has the other kind of head.
void require_language_model(const inference_model& net);
void require_scalar_head(const inference_model& net);

/// to_a := from_(row_a), rows as wide as the model's hidden states; `row_A` is host memory.
void gather_hidden(context& ctx, const inference_model& net, const_reals from_ND, std::span<const int64_t> row_A,
                   reals to_AD);

/// The scalar head's product, forward: [N] scores of [N, D] rows, in host memory.
std::vector<float> scalar_scores(context& ctx, const inference_model& net, const weights_view& weights,
                                 const_reals rows_ND, int64_t n);

/// And backward, from scores' gradients in host memory: drows is overwritten, the head's gradient accumulated onto.
void scalar_scores_backward(context& ctx, const inference_model& net, const weights_view& weights, const_reals rows_ND,
                            std::span<const float> dscore_N, reals drows_ND, float* gradients);

}  // namespace troupe::engine
