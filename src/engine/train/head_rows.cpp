#include "engine/train/head_rows.hpp"

#include "base/error.hpp"
#include "engine/models/workspace.hpp"
#include "engine/tensor/transfer.hpp"
#include "kernels/matrix.hpp"
#include "kernels/rows.hpp"

namespace troupe::engine {

void require_language_model(const inference_model& net) {
  if (net.description().scalar_head) {
    throw error(errc::bad_argument, "log-probabilities were asked of a model with a scalar head (a "
                                    "reward model or critic): give a language model");
  }
}

void require_scalar_head(const inference_model& net) {
  if (!net.description().scalar_head) {
    throw error(errc::bad_argument, "scores were asked of a language model: give a model with a "
                                    "scalar head (a reward model or critic)");
  }
}

void gather_hidden(context& ctx, const inference_model& net, const_reals from_ND, std::span<const int64_t> row_A,
                   reals to_AD) {
  call_sheet& sheet = workspace_of(ctx).head_sheet;
  sheet.begin();
  const size_t rows = sheet.add(row_A);
  sheet.send(ctx);
  kernels::gather_rows(ctx, {.to_AD = to_AD,
                             .from_ND = from_ND,
                             .row_A = sheet.at<int64_t>(rows),
                             .rows = static_cast<int64_t>(row_A.size()),
                             .d = net.description().embedding_width});
}

std::vector<float> scalar_scores(context& ctx, const inference_model& net, const weights_view& weights,
                                 const_reals rows_ND, int64_t n) {
  float* const computed_N = workspace_of(ctx).score_N.floats(ctx, n);
  {
    const held_segment head(ctx, weights.access, net.head_segment());
    kernels::linear_forward(ctx, {.y_NO = computed_N,
                                  .x_NI = rows_ND,
                                  .weight = net.head(weights.data),
                                  .n = n,
                                  .outputs = 1,
                                  .inputs = net.description().embedding_width});
  }
  std::vector<float> score_N(static_cast<size_t>(n));
  fetch(ctx, std::span(score_N), computed_N);
  return score_N;
}

void scalar_scores_backward(context& ctx, const inference_model& net, const weights_view& weights, const_reals rows_ND,
                            std::span<const float> dscore_N, reals drows_ND, float* gradients) {
  const auto n = static_cast<int64_t>(dscore_N.size());
  const int64_t width = net.description().embedding_width;
  const reals sent_N = workspace_of(ctx).score_N.room(ctx, activation_type(ctx, weights.data), n);
  send(ctx, dscore_N, sent_N);
  const held_segment head(ctx, weights.access, net.head_segment());
  kernels::linear_backward_input(
      ctx,
      {.dx_NI = drows_ND, .dy_NO = sent_N, .weight = net.head(weights.data), .n = n, .outputs = 1, .inputs = width});
  kernels::linear_backward_weight(
      ctx, {.dweight = net.head(gradients), .x_NI = rows_ND, .dy_NO = sent_N, .n = n, .outputs = 1, .inputs = width});
}

}  // namespace troupe::engine
