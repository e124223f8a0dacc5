// Operations around matrices: products, tables, the head and its losses, the sampler.
#include "base/round_up.hpp"

#include "gpu/comparison.hpp"
#include <algorithm>
#include <numeric>

namespace troupe::gpu_check {

namespace {

constexpr int64_t rows_of(int64_t outputs) { return round_up(outputs, kernels::panel_width); }

void linear(comparison& t) {
  constexpr int64_t outputs = 72;
  constexpr int64_t inputs = 48;
  for (const int64_t n : {3, 40, 100}) {
    const operand w = weight_of(t, outputs, inputs, 1);
    operand x = t.random(n * inputs, 2), y = t.zeros(n * outputs), bias = t.random(outputs, 3);
    kernels::linear_forward(t.card(), {.y_NO = y.card,
                                       .x_NI = x.card,
                                       .weight = w.card,
                                       .bias_O = bias.card,
                                       .n = n,
                                       .outputs = outputs,
                                       .inputs = inputs});
    kernels::linear_forward(t.host(), {.y_NO = y.host.data(),
                                       .x_NI = x.host.data(),
                                       .weight = w.host.data(),
                                       .bias_O = bias.host.data(),
                                       .n = n,
                                       .outputs = outputs,
                                       .inputs = inputs});
    t.near("linear_forward", y);

    operand dy = t.random(n * outputs, 4), dx = t.zeros(n * inputs);
    kernels::linear_backward_input(
        t.card(), {.dx_NI = dx.card, .dy_NO = dy.card, .weight = w.card, .n = n, .outputs = outputs, .inputs = inputs});
    kernels::linear_backward_input(t.host(), {.dx_NI = dx.host.data(),
                                              .dy_NO = dy.host.data(),
                                              .weight = w.host.data(),
                                              .n = n,
                                              .outputs = outputs,
                                              .inputs = inputs});
    t.near("linear_backward_input", dx);

    operand dw = t.arrays().zeros(rows_of(outputs) * inputs, dtype::f32);
    operand dbias = t.arrays().random(outputs, dtype::f32, 5);
    kernels::linear_backward_weight(t.card(), {.dweight = dw.card,
                                               .dbias_O = dbias.card,
                                               .x_NI = x.card,
                                               .dy_NO = dy.card,
                                               .n = n,
                                               .outputs = outputs,
                                               .inputs = inputs});
    kernels::linear_backward_weight(t.host(), {.dweight = dw.host.data(),
                                               .dbias_O = dbias.host.data(),
                                               .x_NI = x.host.data(),
                                               .dy_NO = dy.host.data(),
                                               .n = n,
                                               .outputs = outputs,
                                               .inputs = inputs});
    std::vector<float> dw_rows(outputs * inputs);
    kernels::from_panels(dw.host.data(), outputs, inputs, dw_rows.data());
    t.near("linear_backward_weight", dw.card, dw_rows, t.one_rounding());
    t.near("linear_backward_weight", dbias);
  }
}

std::vector<int32_t> some_ids(int64_t n, int64_t below) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<int32_t>(i * i * 7919 % below));
  }
  return ids;
}

void embedding(comparison& t) {
  constexpr int64_t n = 40, rows = 23, d = 72;
  const operand table = weight_of(t, rows, d, 1);
  const std::vector<int32_t> index = some_ids(n, rows);
  const int32_t* index_there = t.arrays().upload_as_is(std::span<const int32_t>(index));
  operand y = t.random(n * d, 2);
  for (const bool accumulate : {false, true}) {
    kernels::embedding_args args{.n = n, .rows = rows, .d = d, .accumulate = accumulate};
    args.y_ND = y.card;
    args.index_N = index_there;
    args.table = table.card;
    kernels::embedding_forward(t.card(), args);
    args.y_ND = y.host.data();
    args.index_N = index.data();
    args.table = table.host.data();
    kernels::embedding_forward(t.host(), args);
    t.same("embedding_forward", y);
  }

  std::vector<int32_t> row(n), begin;
  std::iota(row.begin(), row.end(), 0);
  std::stable_sort(row.begin(), row.end(), [&](int32_t a, int32_t b) { return index[a] < index[b]; });
  for (size_t i = 0; i < row.size(); ++i) {
    if (i == 0 || index[row[i]] != index[row[i - 1]]) {
      begin.push_back(static_cast<int32_t>(i));
    }
  }
  const auto distinct = static_cast<int64_t>(begin.size());
  begin.push_back(n);
  const operand dy = t.random(n * d, 3);
  const operand dtable = t.arrays().zeros(rows_of(rows) * d, dtype::f32);
  std::vector<float> on_host(dtable.host.size());
  kernels::embedding_backward(t.card(), {.dtable = dtable.card,
                                         .index_N = index_there,
                                         .dy_ND = dy.card,
                                         .n = n,
                                         .rows = rows,
                                         .d = d,
                                         .row_N = t.arrays().upload_as_is(std::span<const int32_t>(row)),
                                         .begin_U1 = t.arrays().upload_as_is(std::span<const int32_t>(begin)),
                                         .distinct = distinct});
  kernels::embedding_backward(
      t.host(),
      {.dtable = on_host.data(), .index_N = index.data(), .dy_ND = dy.host.data(), .n = n, .rows = rows, .d = d});
  operand plain{std::vector<float>(rows * d), dtable.card};
  kernels::from_panels(on_host.data(), rows, d, plain.host.data());
  t.same("embedding_backward", plain);
}

/// The head's forward, then its gradients under a policy's loss with every term.
void log_prob(comparison& t) {
  constexpr int64_t n = 21, d = 48, vocabulary = 200;
  const operand w = weight_of(t, vocabulary, d, 1);
  const std::vector<int32_t> target = some_ids(n, vocabulary);
  const operand x = t.random(n * d, 2);
  operand logprob = t.arrays().zeros(n, dtype::f32), entropy = t.arrays().zeros(n, dtype::f32);
  const kernels::log_prob_args on_host{.logprob_N = logprob.host.data(),
                                       .entropy_N = entropy.host.data(),
                                       .x_ND = x.host.data(),
                                       .weight = w.host.data(),
                                       .target_N = target.data(),
                                       .n = n,
                                       .d = d,
                                       .vocabulary = vocabulary,
                                       .temperature = 0.7F};
  kernels::log_prob_args on_card = on_host;
  on_card.logprob_N = logprob.card;
  on_card.entropy_N = entropy.card;
  on_card.x_ND = x.card;
  on_card.weight = w.card;
  on_card.target_N = t.arrays().upload_as_is(std::span<const int32_t>(target));
  kernels::log_prob_forward(t.card(), on_card);
  kernels::log_prob_forward(t.host(), on_host);
  t.near("log_prob_forward", logprob);
  t.near("log_prob_forward", entropy);
  const std::vector<float> forward = t.arrays().read(logprob.card, n);

  const operand advantage = t.arrays().random(n, dtype::f32, 4);
  std::vector<float> old = logprob.host, reference = logprob.host;
  std::vector<double> weight;
  for (size_t i = 0; i < old.size(); ++i) {
    old[i] += 0.1F * advantage.host[i];
    reference[i] -= 0.5F * advantage.host[i];
    weight.push_back(static_cast<double>((i + 1) % 5) / 4);  // some do not count
  }
  std::vector<kernels::token_terms> terms(n);
  const kernels::token_loss loss_on_host{.kind = kernels::loss_kind::policy,
                                         .policy = {.entropy_coefficient = 0.4, .kl_coefficient = 0.3},
                                         .logprob_old_N = old.data(),
                                         .advantage_N = advantage.host.data(),
                                         .logprob_ref_N = reference.data(),
                                         .weight_N = weight.data(),
                                         .terms_N = terms.data()};
  kernels::token_loss loss_on_card = loss_on_host;
  loss_on_card.logprob_old_N = t.arrays().upload_as_is(std::span<const float>(old));
  loss_on_card.advantage_N = advantage.card;
  loss_on_card.logprob_ref_N = t.arrays().upload_as_is(std::span<const float>(reference));
  loss_on_card.weight_N = t.arrays().upload_as_is(std::span<const double>(weight));
  loss_on_card.terms_N = t.arrays().upload_as_is(std::span<const kernels::token_terms>(terms));
  operand dx = t.zeros(n * d);
  const operand dw = t.arrays().zeros(rows_of(vocabulary) * d, dtype::f32);
  std::vector<float> dw_on_host(dw.host.size());
  kernels::log_prob_train(t.card(), {.dx_ND = dx.card, .dweight = dw.card, .forward = on_card, .loss = loss_on_card});
  kernels::log_prob_train(
      t.host(), {.dx_ND = dx.host.data(), .dweight = dw_on_host.data(), .forward = on_host, .loss = loss_on_host});
  t.require("log_prob_train", same_bits(t.arrays().read(logprob.card, n), forward), "not forward's bits");
  t.near("log_prob_train", dx, t.some_roundings());
  std::vector<float> dw_rows(vocabulary * d);
  kernels::from_panels(dw_on_host.data(), vocabulary, d, dw_rows.data());
  t.near("log_prob_train", dw.card, dw_rows, t.some_roundings());
  std::vector<float> got, want;
  for (const kernels::token_terms& one : t.arrays().read_as_is(loss_on_card.terms_N, n)) {
    got.insert(got.end(), {static_cast<float>(one.loss), one.dlogprob, one.dentropy});
  }
  for (const kernels::token_terms& one : terms) {
    want.insert(want.end(), {static_cast<float>(one.loss), one.dlogprob, one.dentropy});
  }
  t.require("log_prob_train", relative_error(got, want) <= 1e-9, "other terms of the loss");
}

/// Tokens are the host's, since no number lies on the border of two.
void sampler(comparison& t) {
  const kernels::sampling_settings kinds[] = {{},
                                              {.temperature = 0},
                                              {.temperature = 0.7F, .top_k = 20},
                                              {.top_p = 0.8F},
                                              {.min_p = 0.05F},
                                              {.temperature = 1.3F, .repetition_penalty = 1.4F}};
  constexpr int64_t vocabulary = 700;
  std::vector<kernels::row_draw> draw;
  for (const kernels::sampling_settings& settings : kinds) {
    for (const double uniform : {0.03, 0.37, 0.81, 0.994}) {
      draw.push_back({.settings = settings, .uniform = uniform, .context_begin = 0, .context_end = 4});
    }
  }
  const std::vector<int32_t> seen{5, 0, 5, 699};
  const auto n = static_cast<int64_t>(draw.size());
  operand logits = t.arrays().random(n * vocabulary, dtype::f32, 1, 4);
  std::vector<kernels::sampled_token> token(draw.size());
  const kernels::sample_rows_args on_host{.logits_NV = logits.host.data(),
                                          .draw_N = draw.data(),
                                          .context = seen.data(),
                                          .token_N = token.data(),
                                          .n = n,
                                          .vocabulary = vocabulary,
                                          .penalties = true};
  kernels::sample_rows_args on_card = on_host;
  on_card.logits_NV = logits.card;
  on_card.draw_N = t.arrays().upload_as_is(std::span<const kernels::row_draw>(draw));
  on_card.context = t.arrays().upload_as_is(std::span<const int32_t>(seen));
  on_card.token_N = t.arrays().upload_as_is(std::span<const kernels::sampled_token>(token));
  kernels::sample_rows(t.card(), on_card);
  kernels::sample_rows(t.host(), on_host);
  std::vector<float> got, want;
  int64_t other = 0;
  const std::vector<kernels::sampled_token> drawn = t.arrays().read_as_is(on_card.token_N, n);
  for (size_t i = 0; i < token.size(); ++i) {
    got.push_back(drawn[i].logprob);
    want.push_back(token[i].logprob);
    other += drawn[i].token == token[i].token ? 0 : 1;
  }
  t.require("sample_rows", other == 0, std::to_string(other) + " other tokens");
  t.require("sample_rows", relative_error(got, want) <= 1e-11, "other log-probabilities");
}

/// Of the tokens that the sampler has drawn, those that the next step computes.
void fed_tokens(comparison& t) {
  constexpr int64_t n = 40;
  std::vector<int32_t> given, source, token(n), context(n, -7);
  std::vector<kernels::sampled_token> drawn;
  std::vector<int64_t> context_at;
  for (int32_t i = 0; i < n; ++i) {
    given.push_back(1000 + i);
    source.push_back(i % 3 == 0 ? -1 : static_cast<int32_t>(n) - 1 - i);
    drawn.push_back({.token = i % 7 == 6 ? -1 : 10 + i});
    context_at.push_back(i % 2 == 0 ? -1 : i);
  }
  kernels::feed_tokens_args on_host{.token_N = token.data(),
                                    .given_N = given.data(),
                                    .source_N = source.data(),
                                    .drawn_M = drawn.data(),
                                    .context = context.data(),
                                    .context_at_N = context_at.data(),
                                    .n = n};
  kernels::feed_tokens_args on_card = on_host;
  on_card.token_N = t.arrays().upload_as_is(std::span<const int32_t>(token));
  on_card.given_N = t.arrays().upload_as_is(std::span<const int32_t>(given));
  on_card.source_N = t.arrays().upload_as_is(std::span<const int32_t>(source));
  on_card.drawn_M = t.arrays().upload_as_is(std::span<const kernels::sampled_token>(drawn));
  on_card.context = t.arrays().upload_as_is(std::span<const int32_t>(context));
  on_card.context_at_N = t.arrays().upload_as_is(std::span<const int64_t>(context_at));
  kernels::feed_tokens(t.card(), on_card);
  kernels::feed_tokens(t.host(), on_host);
  t.require("feed_tokens", t.arrays().read_as_is(on_card.token_N, n) == token, "other tokens");
  t.require("feed_tokens", t.arrays().read_as_is(on_card.context, n) == context, "another context");
}

}  // namespace

void compare_products(comparison& t) {
  linear(t);
  embedding(t);
  log_prob(t);
  sampler(t);
  fed_tokens(t);
}

}  // namespace troupe::gpu_check
