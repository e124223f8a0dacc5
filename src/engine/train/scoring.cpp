#include "engine/train/scoring.hpp"

#include "base/aligned.hpp"
#include "base/error.hpp"
#include "engine/objectives/rows.hpp"
#include "engine/train/head_rows.hpp"
#include "kernels/log_prob.hpp"

namespace troupe::engine {

namespace {

/// The hidden states at `row_A`.
aligned_buffer<float> hidden_rows(context& ctx, const inference_model& net, const weights_view& weights,
                                  const packed_batch& batch, std::span<const int64_t> row_A) {
  const int64_t width = net.description().embedding_width;
  aligned_buffer<float> hidden_ND(batch.tokens() * width);
  net.forward(ctx, weights, batch.view(), hidden_ND.data());
  aligned_buffer<float> rows_AD(static_cast<int64_t>(row_A.size()) * width);
  gather_rows(row_A, width, hidden_ND.data(), rows_AD.data());
  return rows_AD;
}

}  // namespace

std::vector<float> answer_log_probs(context& ctx, const inference_model& net, const weights_view& weights,
                                    const packed_batch& batch, float temperature) {
  require_language_model(net);
  const prediction_rows rows = answer_rows(batch.token_N, batch.offset_B1, batch.prompt_length_B);
  std::vector<float> logprob_A(rows.row_A.size());
  const auto rows_AD = hidden_rows(ctx, net, weights, batch, rows.row_A);
  kernels::log_prob_args args;
  args.logprob_N = logprob_A.data();
  args.x_ND = rows_AD.data();
  args.weight = net.head(weights.data);
  args.target_N = rows.target_A.data();
  args.n = rows.size();
  args.d = net.description().embedding_width;
  args.vocabulary = net.description().vocabulary;
  args.temperature = softmax_temperature(temperature);
  const held_segment head(ctx, weights.access, net.head_segment());
  kernels::log_prob_forward(ctx, args);
  return logprob_A;
}

std::vector<float> row_scores(context& ctx, const inference_model& net, const weights_view& weights,
                              const packed_batch& batch) {
  require_scalar_head(net);
  aligned_buffer<float> hidden_ND(batch.tokens() * net.description().embedding_width);
  net.forward(ctx, weights, batch.view(), hidden_ND.data());
  return scalar_scores(ctx, net, weights, hidden_ND.data(), batch.tokens());
}

std::vector<float> end_scores(context& ctx, const inference_model& net, const weights_view& weights,
                              const packed_batch& batch) {
  require_scalar_head(net);
  std::vector<int64_t> end_B;
  for (size_t b = 0; b + 1 < batch.offset_B1.size(); ++b) {
    if (batch.offset_B1[b + 1] == batch.offset_B1[b]) {
      throw error(errc::bad_argument, "sequence {} is empty: there is no token to score", b);
    }
    end_B.push_back(batch.offset_B1[b + 1] - 1);
  }
  const auto rows_BD = hidden_rows(ctx, net, weights, batch, end_B);
  return scalar_scores(ctx, net, weights, rows_BD.data(), batch.sequences());
}

std::vector<float> answer_values(context& ctx, const inference_model& net, const weights_view& weights,
                                 const packed_batch& batch) {
  require_scalar_head(net);
  const prediction_rows rows = answer_rows(batch.token_N, batch.offset_B1, batch.prompt_length_B);
  const auto rows_AD = hidden_rows(ctx, net, weights, batch, rows.row_A);
  return scalar_scores(ctx, net, weights, rows_AD.data(), rows.size());
}

}  // namespace troupe::engine
