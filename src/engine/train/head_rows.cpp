#include "engine/train/head_rows.hpp"

#include "base/error.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>

namespace troupe::engine {

void gather_rows(std::span<const int64_t> row_A, int64_t width, const float* hidden_ND, float* rows_AD) {
  for (size_t a = 0; a < row_A.size(); ++a) {
    std::copy_n(hidden_ND + row_A[a] * width, width, rows_AD + static_cast<int64_t>(a) * width);
  }
}

void scatter_rows(std::span<const int64_t> row_A, int64_t width, int64_t n, const float* drows_AD, float* dhidden_ND) {
  std::fill_n(dhidden_ND, n * width, 0.0F);
  for (size_t a = 0; a < row_A.size(); ++a) {
    std::copy_n(drows_AD + static_cast<int64_t>(a) * width, width, dhidden_ND + row_A[a] * width);
  }
}

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

std::vector<float> scalar_scores(context& ctx, const inference_model& net, const weights_view& weights,
                                 const float* rows_ND, int64_t n) {
  std::vector<float> score_N(static_cast<size_t>(n));
  kernels::linear_args args;
  args.y_NO = score_N.data();
  args.x_NI = rows_ND;
  args.weight = net.head(weights.data);
  args.n = n;
  args.outputs = 1;
  args.inputs = net.description().embedding_width;
  const held_segment head(ctx, weights.access, net.head_segment());
  kernels::linear_forward(ctx, args);
  return score_N;
}

void scalar_scores_backward(context& ctx, const inference_model& net, const weights_view& weights, const float* rows_ND,
                            std::span<const float> dscore_N, float* drows_ND, float* gradients) {
  kernels::linear_backward_input_args input;
  input.dx_NI = drows_ND;
  input.dy_NO = dscore_N.data();
  input.weight = net.head(weights.data);
  input.n = static_cast<int64_t>(dscore_N.size());
  input.outputs = 1;
  input.inputs = net.description().embedding_width;
  const held_segment head(ctx, weights.access, net.head_segment());
  kernels::linear_backward_input(ctx, input);

  kernels::linear_backward_weight_args weight;
  weight.dweight = net.head(gradients);
  weight.x_NI = rows_ND;
  weight.dy_NO = dscore_N.data();
  weight.n = input.n;
  weight.outputs = 1;
  weight.inputs = input.inputs;
  kernels::linear_backward_weight(ctx, weight);
}

}  // namespace troupe::engine
