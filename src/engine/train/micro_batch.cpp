#include "engine/train/micro_batch.hpp"

#include "engine/models/workspace.hpp"
#include "engine/objectives/checks.hpp"
#include "engine/objectives/rows.hpp"
#include "engine/tensor/transfer.hpp"
#include "engine/train/head_rows.hpp"
#include "kernels/log_prob.hpp"
#include "kernels/rows.hpp"

#include <algorithm>
#include <optional>
#include <span>

namespace troupe::engine {

namespace {

int64_t width_of(const trainee& model) { return model.net.description().embedding_width; }

/// Room for rows as wide as the model's hidden states.
reals room(context& ctx, const trainee& model, buffer& in, int64_t rows) {
  return in.room(ctx, activation_type(ctx, model.weights.data), rows * width_of(model));
}

/// Hidden states of the whole batch, with what backward needs.
const_reals forward(context& ctx, const trainee& model, const packed_batch& batch) {
  train_workspace& w = model.workspace;
  const reals hidden_ND = room(ctx, model, w.hidden_ND, batch.tokens());
  model.net.forward(ctx, model.weights, batch.view(), hidden_ND, w.saved);
  return hidden_ND;
}

/// Only the rows that predict something.
const_reals forward_rows(context& ctx, const trainee& model, const packed_batch& batch, const prediction_rows& rows) {
  const const_reals hidden_ND = forward(ctx, model, batch);
  const reals rows_AD = room(ctx, model, model.workspace.rows_AD, rows.size());
  gather_hidden(ctx, model.net, hidden_ND, rows.row_A, rows_AD);
  return rows_AD;
}

void backward(context& ctx, const trainee& model, const packed_batch& batch, reals dhidden_ND) {
  model.net.backward(ctx, model.weights, batch.view(), model.workspace.saved, dhidden_ND, model.gradients,
                     model.segment_done);
}

void backward_rows(context& ctx, const trainee& model, const packed_batch& batch, const prediction_rows& rows) {
  const reals dhidden_ND = room(ctx, model, model.workspace.dhidden_ND, batch.tokens());
  call_sheet& sheet = workspace_of(ctx).head_sheet;
  sheet.begin();
  const size_t places = sheet.add(std::span<const int64_t>(rows.row_A));
  sheet.send(ctx);
  kernels::scatter_rows(ctx, {.to_ND = dhidden_ND,
                              .from_AD = model.workspace.drows_AD.data(),
                              .row_A = sheet.at<int64_t>(places),
                              .n = batch.tokens(),
                              .rows = rows.size(),
                              .d = width_of(model)});
  backward(ctx, model, batch, dhidden_ND);
}

/// The loss in the midst of a pass. Where it fails the pass goes on with a gradient of zero, since other ranks may take
/// part in it, and the error is thrown at its end.
class loss_of_pass {
public:
  template <class Loss> void compute(const Loss& loss, std::span<float> gradient) {
    try {
      loss();
    } catch (const error& failure) {
      failure_ = failure;
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

/// What a language model's pass found at the rows that predict something, in host memory.
struct found_rows {
  std::vector<float> logprob_A, entropy_A;
  std::vector<kernels::token_terms> terms_A;
  kernels::token_loss loss;  ///< with these terms
};

/// A loss whose arrays are where the pass computes.
class sent_loss {
public:
  sent_loss(context& ctx, const kernels::token_loss& loss, std::span<const int32_t> target_N)
      : sheet_(workspace_of(ctx).head_sheet), loss_(loss), n_(target_N.size()) {
    sheet_.begin();
    const size_t target = sheet_.add(target_N);
    const size_t old = add(loss.logprob_old_N);
    const size_t advantage = add(loss.advantage_N);
    const size_t reference = add(loss.logprob_ref_N);
    const size_t weight = add(loss.weight_N);
    sheet_.send(ctx);
    target_N_ = sheet_.at<int32_t>(target);
    point_to(loss_.logprob_old_N, old);
    point_to(loss_.advantage_N, advantage);
    point_to(loss_.logprob_ref_N, reference);
    point_to(loss_.weight_N, weight);
  }
  const int32_t* target_N() const { return target_N_; }
  kernels::token_loss loss() const { return loss_; }

private:
  template <class T> size_t add(const T* values_N) {
    return sheet_.add(std::span<const T>(values_N, values_N == nullptr ? 0 : n_));
  }
  template <class T> void point_to(const T*& values_N, size_t place) {
    values_N = values_N == nullptr ? nullptr : sheet_.at<T>(place);
  }

  call_sheet& sheet_;
  kernels::token_loss loss_;
  size_t n_;
  const int32_t* target_N_ = nullptr;
};

/// Forward, the language-model head with the given loss, backward. Where the loss of a row is not finite the pass goes
/// on without its gradient, since other ranks may take part in it: whoever sums the terms finds it.
found_rows train_language_model(context& ctx, const trainee& model, const packed_batch& batch,
                                const prediction_rows& rows, float temperature, const kernels::token_loss& loss) {
  workspace& scratch = workspace_of(ctx);
  const int64_t n = rows.size();
  kernels::log_prob_train_args args;
  args.forward.x_ND = forward_rows(ctx, model, batch, rows);
  const sent_loss sent(ctx, loss, rows.target_A);
  args.forward.logprob_N = scratch.logprob_N.floats(ctx, n);
  args.forward.entropy_N = scratch.entropy_N.floats(ctx, n);
  args.forward.weight = model.net.head(model.weights.data);
  args.forward.target_N = sent.target_N();
  args.forward.n = n;
  args.forward.d = width_of(model);
  args.forward.vocabulary = model.net.description().vocabulary;
  args.forward.temperature = softmax_temperature(temperature);
  args.dx_ND = room(ctx, model, model.workspace.drows_AD, n);
  args.dweight = model.net.head(model.gradients);
  args.loss = sent.loss();
  args.loss.terms_N = reinterpret_cast<kernels::token_terms*>(
      scratch.terms_N.bytes(ctx, n * static_cast<int64_t>(sizeof(kernels::token_terms))));
  {
    const held_segment head(ctx, model.weights.access, model.net.head_segment());
    kernels::log_prob_train(ctx, args);
  }
  backward_rows(ctx, model, batch, rows);

  const auto count = static_cast<size_t>(n);
  found_rows found{std::vector<float>(count), std::vector<float>(count), std::vector<kernels::token_terms>(count),
                   loss};
  fetch(ctx, std::span(found.logprob_A), args.forward.logprob_N);
  fetch(ctx, std::span(found.entropy_A), args.forward.entropy_N);
  fetch(ctx, std::span(found.terms_A), args.loss.terms_N);
  found.loss.terms_N = found.terms_A.data();
  return found;
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
  return saved.bytes() + hidden_ND.size_bytes() + dhidden_ND.size_bytes() + rows_AD.size_bytes() +
         drows_AD.size_bytes();
}

void train_workspace::give_back() {
  saved = saved_activations(checkpointing_);
  for (buffer* const of : {&hidden_ND, &dhidden_ND, &rows_AD, &drows_AD}) {
    *of = buffer();
  }
  gradients.give_back();
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

/// The sequence's weight for each answer token, in the order of answer_rows; empty where all are 1.
static std::vector<double> answer_weights_of(const packed_batch& batch, const prediction_rows& rows) {
  std::vector<double> weight_A;
  for (size_t b = 0; b < batch.weight_B.size(); ++b) {
    const int64_t answer_tokens = rows.offset_B1[b + 1] - rows.offset_B1[b];
    weight_A.insert(weight_A.end(), static_cast<size_t>(answer_tokens), batch.weight_B[b]);
  }
  return weight_A;
}

lm_statistics sft_micro_batch(context& ctx, const trainee& model, const packed_batch& batch, const lm_scale& scale) {
  require_language_model(model.net);
  const prediction_rows rows = answer_rows(batch.token_N, batch.offset_B1, batch.prompt_length_B);
  lm_statistics statistics;
  if (rows.size() == 0) {
    idle_micro_batch(ctx, model);
    return statistics;
  }
  const std::vector<double> weight_A = answer_weights_of(batch, rows);
  const found_rows found = train_language_model(ctx, model, batch, rows, 1.0F,
                                                {.kind = kernels::loss_kind::language_model,
                                                 .lm = scale,
                                                 .weight_N = weight_A.empty() ? nullptr : weight_A.data()});
  // Sums of the blocks whose logits exist at one time: that order is part of the bits.
  const int64_t block = kernels::logit_rows(model.net.description().vocabulary);
  for (int64_t first = 0; first < rows.size(); first += block) {
    statistics.add(lm_sums(found.loss, first, std::min(first + block, rows.size())));
  }
  return statistics;
}

pair_statistics reward_micro_batch(context& ctx, const trainee& model, const packed_batch& batch,
                                   const pair_settings& settings, double pairs, std::span<const int64_t> end_B) {
  require_scalar_head(model.net);
  if (batch.sequences() == 0) {
    idle_micro_batch(ctx, model);
    return {};
  }
  const const_reals hidden_ND = forward(ctx, model, batch);
  const auto score_N = scalar_scores(ctx, model.net, model.weights, hidden_ND, batch.tokens());
  std::vector<float> dscore_N(score_N.size());
  loss_of_pass loss;
  pair_statistics statistics;
  loss.compute(
      [&] {
        statistics = pairwise_loss(settings, {dscore_N, score_N, batch.token_N, batch.offset_B1, end_B, pairs});
      },
      dscore_N);
  const reals dhidden_ND = room(ctx, model, model.workspace.dhidden_ND, batch.tokens());
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
  if (rows.size() == 0) {
    idle_micro_batch(ctx, model);
    return {};
  }
  const std::span<const float> ref_A = targets.logprob_ref_A;
  const found_rows found = train_language_model(ctx, model, batch, rows, targets.temperature,
                                                {.kind = kernels::loss_kind::policy,
                                                 .policy = settings,
                                                 .logprob_old_N = targets.logprob_old_A.data(),
                                                 .advantage_N = targets.advantage_A.data(),
                                                 .logprob_ref_N = ref_A.empty() ? nullptr : ref_A.data(),
                                                 .weight_N = targets.weight_A.data()});
  return policy_sums(found.loss, found.logprob_A, found.entropy_A);
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
  const const_reals rows_AD = forward_rows(ctx, model, batch, rows);
  const auto value_A = scalar_scores(ctx, model.net, model.weights, rows_AD, rows.size());
  std::vector<float> dvalue_A(value_A.size());
  loss_of_pass loss;
  value_statistics statistics;
  loss.compute(
      [&] {
        statistics = value_loss(settings, {dvalue_A, value_A, targets.value_old_A, targets.return_A, targets.weight_A});
      },
      dvalue_A);
  const reals drows_AD = room(ctx, model, model.workspace.drows_AD, rows.size());
  scalar_scores_backward(ctx, model.net, model.weights, rows_AD, dvalue_A, drows_AD, model.gradients);
  backward_rows(ctx, model, batch, rows);
  loss.throw_if_failed();
  return statistics;
}

}  // namespace troupe::engine
