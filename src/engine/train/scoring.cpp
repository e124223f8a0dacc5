#include "engine/train/scoring.hpp"

#include "base/error.hpp"
#include "engine/models/workspace.hpp"
#include "engine/objectives/rows.hpp"
#include "engine/tensor/transfer.hpp"
#include "engine/train/head_rows.hpp"
#include "kernels/log_prob.hpp"

namespace troupe::engine {

namespace {

/// The hidden states of all rows.
buffer hidden_states(context& ctx, const inference_model& net, const weights_view& weights, const packed_batch& batch) {
  buffer hidden_ND;
  const reals all =
      hidden_ND.room(ctx, activation_type(ctx, weights.data), batch.tokens() * net.description().embedding_width);
  net.forward(ctx, weights, batch.view(), all);
  return hidden_ND;
}

/// The hidden states at `row_A`.
buffer hidden_rows(context& ctx, const inference_model& net, const weights_view& weights, const packed_batch& batch,
                   std::span<const int64_t> row_A) {
  const buffer hidden_ND = hidden_states(ctx, net, weights, batch);
  buffer rows_AD;
  const reals rows = rows_AD.room(ctx, activation_type(ctx, weights.data),
                                  static_cast<int64_t>(row_A.size()) * net.description().embedding_width);
  gather_hidden(ctx, net, hidden_ND.data(), row_A, rows);
  return rows_AD;
}

}  // namespace

std::vector<float> answer_log_probs(context& ctx, const inference_model& net, const weights_view& weights,
                                    const packed_batch& batch, float temperature) {
  require_language_model(net);
  const prediction_rows rows = answer_rows(batch.token_N, batch.offset_B1, batch.prompt_length_B);
  const buffer rows_AD = hidden_rows(ctx, net, weights, batch, rows.row_A);
  workspace& scratch = workspace_of(ctx);
  scratch.head_sheet.begin();
  const size_t target = scratch.head_sheet.add(std::span<const int32_t>(rows.target_A));
  scratch.head_sheet.send(ctx);
  kernels::log_prob_args args;
  args.logprob_N = scratch.logprob_N.floats(ctx, rows.size());
  args.x_ND = rows_AD.data();
  args.weight = net.head(weights.data);
  args.target_N = scratch.head_sheet.at<int32_t>(target);
  args.n = rows.size();
  args.d = net.description().embedding_width;
  args.vocabulary = net.description().vocabulary;
  args.temperature = softmax_temperature(temperature);
  {
    const held_segment head(ctx, weights.access, net.head_segment());
    kernels::log_prob_forward(ctx, args);
  }
  std::vector<float> logprob_A(rows.row_A.size());
  fetch(ctx, std::span(logprob_A), args.logprob_N);
  return logprob_A;
}

std::vector<float> row_scores(context& ctx, const inference_model& net, const weights_view& weights,
                              const packed_batch& batch) {
  require_scalar_head(net);
  const buffer hidden_ND = hidden_states(ctx, net, weights, batch);
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
  const buffer rows_BD = hidden_rows(ctx, net, weights, batch, end_B);
  return scalar_scores(ctx, net, weights, rows_BD.data(), batch.sequences());
}

std::vector<float> answer_values(context& ctx, const inference_model& net, const weights_view& weights,
                                 const packed_batch& batch) {
  require_scalar_head(net);
  const prediction_rows rows = answer_rows(batch.token_N, batch.offset_B1, batch.prompt_length_B);
  const buffer rows_AD = hidden_rows(ctx, net, weights, batch, rows.row_A);
  return scalar_scores(ctx, net, weights, rows_AD.data(), rows.size());
}

}  // namespace troupe::engine
