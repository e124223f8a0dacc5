#include "engine/train/micro_batch.hpp"

#include "engine/objectives/checks.hpp"
#include "engine/objectives/rows.hpp"
#include "engine/train/head_rows.hpp"
#include "kernels/log_prob.hpp"

#include <algorithm>
#include <initializer_list>
#include <optional>

namespace troupe::engine {

namespace {

int64_t width_of(const trainee& model) { return model.net.description().embedding_width; }

/// Hidden states of the whole batch, with what backward needs.
const float* forward(context& ctx, const trainee& model, const packed_batch& batch) {
  train_workspace& w = model.workspace;
  float* hidden_ND = w.hidden_ND.reserve(batch.tokens() * width_of(model));
  model.net.forward(ctx, model.weights, batch.view(), hidden_ND, w.saved);
  return hidden_ND;
}

/// Only the rows that predict something.
const float* forward_rows(context& ctx, const trainee& model, const packed_batch& batch, const prediction_rows& rows) {
  const float* hidden_ND = forward(ctx, model, batch);
  float* rows_AD = model.workspace.rows_AD.reserve(rows.size() * width_of(model));
  gather_rows(rows.row_A, width_of(model), hidden_ND, rows_AD);
  return rows_AD;
}

void backward(context& ctx, const trainee& model, const packed_batch& batch, float* dhidden_ND) {
  model.net.backward(ctx, model.weights, batch.view(), model.workspace.saved, dhidden_ND, model.gradients,
                     model.segment_done);
}

void backward_rows(context& ctx, const trainee& model, const packed_batch& batch, const prediction_rows& rows) {
  train_workspace& w = model.workspace;
  float* dhidden_ND = w.dhidden_ND.reserve(batch.tokens() * width_of(model));
  scatter_rows(rows.row_A, width_of(model), batch.tokens(), w.drows_AD.data(), dhidden_ND);
  backward(ctx, model, batch, dhidden_ND);
}

/// The loss in the midst of a pass. Where it fails the pass goes on with a gradient of zero, since other ranks may take
/// part in it, and the error is thrown at its end.
class loss_of_pass {
public:
  template <class Loss> void compute(const Loss& loss, std::initializer_list<std::span<float>> gradients) {
    try {
      if (!failure_) {
        loss();
        return;
      }
    } catch (const error& failure) {
      failure_ = failure;
    }
    for (const std::span<float> gradient : gradients) {
      std::fill(gradient.begin(), gradient.end(), 0.0F);
    }
  }

  void throw_if_failed() const {
    if (failure_) {
      throw error(*failure_);
    }
  }

private:
  std::optional<error> failure_;
};

/// Forward, the language-model head with the given loss, backward.
void train_language_model(context& ctx, const trainee& model, const packed_batch& batch, const prediction_rows& rows,
                          float temperature, const kernels::log_prob_gradient& gradient) {
  std::vector<float> logprob_A(rows.row_A.size());
  std::vector<float> entropy_A(rows.row_A.size());
  kernels::log_prob_train_args args;
  args.forward.x_ND = forward_rows(ctx, model, batch, rows);
  args.forward.logprob_N = logprob_A.data();
  args.forward.entropy_N = entropy_A.data();
  args.forward.weight = model.net.head(model.weights.data);
  args.forward.target_N = rows.target_A.data();
  args.forward.n = rows.size();
  args.forward.d = width_of(model);
  args.forward.vocabulary = model.net.description().vocabulary;
  args.forward.temperature = softmax_temperature(temperature);
  args.dx_ND = model.workspace.drows_AD.reserve(rows.size() * width_of(model));
  args.dweight = model.net.head(model.gradients);
  loss_of_pass loss;
  args.gradient = [&](int64_t first, std::span<const float> logprob, std::span<const float> entropy,
                      std::span<float> dlogprob, std::span<float> dentropy) {
    loss.compute([&] { gradient(first, logprob, entropy, dlogprob, dentropy); }, {dlogprob, dentropy});
  };
  {
    const held_segment head(ctx, model.weights.access, model.net.head_segment());
    kernels::log_prob_train(ctx, args);
  }
  backward_rows(ctx, model, batch, rows);
  loss.throw_if_failed();
}

void check_targets(const policy_settings& settings, const policy_targets& targets, size_t answers) {
  check_size("logprob_old_A", targets.logprob_old_A.size(), "the batch's answers", answers);
  check_size("advantage_A", targets.advantage_A.size(), "the batch's answers", answers);
  check_size("weight_A", targets.weight_A.size(), "the batch's answers", answers);
  if (settings.kl_coefficient != 0 || !targets.logprob_ref_A.empty()) {
    check_size("logprob_ref_A", targets.logprob_ref_A.size(), "the batch's answers", answers);
  }
}

}  // namespace

int64_t train_workspace::bytes() const {
  const int64_t floats = hidden_ND.size() + dhidden_ND.size() + rows_AD.size() + drows_AD.size();
  return saved.bytes() + floats * static_cast<int64_t>(sizeof(float));
}

void idle_micro_batch(context& ctx, const trainee& model) {
  if (model.weights.access == nullptr) {
    return;
  }
  const packed_batch nothing;
  forward(ctx, model, nothing);
  { const held_segment head(ctx, model.weights.access, model.net.head_segment()); }
  backward(ctx, model, nothing, nullptr);
}

lm_statistics sft_micro_batch(context& ctx, const trainee& model, const packed_batch& batch, const lm_scale& scale) {
  require_language_model(model.net);
  const prediction_rows rows = answer_rows(batch.token_N, batch.offset_B1, batch.prompt_length_B);
  lm_statistics statistics;
  if (rows.size() == 0) {
    idle_micro_batch(ctx, model);
    return statistics;
  }
  train_language_model(ctx, model, batch, rows, 1.0F,
                       [&](int64_t, std::span<const float> logprob, std::span<const float>, std::span<float> dlogprob,
                           std::span<float> dentropy) {
                         lm_loss(scale, logprob, dlogprob, statistics);
                         std::fill(dentropy.begin(), dentropy.end(), 0.0F);
                       });
  return statistics;
}

pair_statistics reward_micro_batch(context& ctx, const trainee& model, const packed_batch& batch,
                                   const pair_settings& settings, double pairs, std::span<const int64_t> end_B) {
  require_scalar_head(model.net);
  if (batch.sequences() == 0) {
    idle_micro_batch(ctx, model);
    return {};
  }
  const float* hidden_ND = forward(ctx, model, batch);
  const auto score_N = scalar_scores(ctx, model.net, model.weights, hidden_ND, batch.tokens());
  std::vector<float> dscore_N(score_N.size());
  loss_of_pass loss;
  pair_statistics statistics;
  loss.compute(
      [&] {
        statistics = pairwise_loss(settings, {dscore_N, score_N, batch.token_N, batch.offset_B1, end_B, pairs});
      },
      {dscore_N});
  float* dhidden_ND = model.workspace.dhidden_ND.reserve(batch.tokens() * width_of(model));
  scalar_scores_backward(ctx, model.net, model.weights, hidden_ND, dscore_N, dhidden_ND, model.gradients);
  backward(ctx, model, batch, dhidden_ND);
  loss.throw_if_failed();
  return statistics;
}

policy_statistics policy_micro_batch(context& ctx, const trainee& model, const packed_batch& batch,
                                     const policy_settings& settings, const policy_targets& targets) {
  require_language_model(model.net);
  const prediction_rows rows = answer_rows(batch.token_N, batch.offset_B1, batch.prompt_length_B);
  check_targets(settings, targets, rows.row_A.size());
  policy_statistics statistics;
  if (rows.size() == 0) {
    idle_micro_batch(ctx, model);
    return statistics;
  }
  train_language_model(ctx, model, batch, rows, targets.temperature,
                       [&](int64_t first, std::span<const float> logprob, std::span<const float> entropy,
                           std::span<float> dlogprob, std::span<float> dentropy) {
                         const auto block = [&](auto all_A) {
                           return all_A.empty() ? all_A : all_A.subspan(static_cast<size_t>(first), logprob.size());
                         };
                         policy_loss(settings,
                                     {dlogprob, dentropy, logprob, entropy, block(targets.logprob_old_A),
                                      block(targets.advantage_A), block(targets.logprob_ref_A),
                                      block(targets.weight_A)},
                                     statistics);
                       });
  return statistics;
}

value_statistics critic_micro_batch(context& ctx, const trainee& model, const packed_batch& batch,
                                    const value_settings& settings, const critic_targets& targets) {
  require_scalar_head(model.net);
  const prediction_rows rows = answer_rows(batch.token_N, batch.offset_B1, batch.prompt_length_B);
  check_size("value_old_A", targets.value_old_A.size(), "the batch's answers", rows.row_A.size());
  if (rows.size() == 0) {
    idle_micro_batch(ctx, model);
    return {};
  }
  const float* rows_AD = forward_rows(ctx, model, batch, rows);
  const auto value_A = scalar_scores(ctx, model.net, model.weights, rows_AD, rows.size());
  std::vector<float> dvalue_A(value_A.size());
  loss_of_pass loss;
  value_statistics statistics;
  loss.compute(
      [&] {
        statistics = value_loss(settings, {dvalue_A, value_A, targets.value_old_A, targets.return_A, targets.weight_A});
      },
      {dvalue_A});
  float* drows_AD = model.workspace.drows_AD.reserve(rows.size() * width_of(model));
  scalar_scores_backward(ctx, model.net, model.weights, rows_AD, dvalue_A, drows_AD, model.gradients);
  backward_rows(ctx, model, batch, rows);
  loss.throw_if_failed();
  return statistics;
}

}  // namespace troupe::engine
