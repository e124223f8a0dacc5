// Operations that take values one by one or row by row: activations, norms, turns, moved rows, optimizer, joins.
#include "gpu/comparison.hpp"
#include <cmath>

namespace troupe::gpu_check {

namespace {

void activations(comparison& t) {
  constexpr int64_t n = 5;
  constexpr int64_t f = 130;
  for (const auto kind : {kernels::activation::relu, kernels::activation::gelu_tanh, kernels::activation::gelu_erf,
                          kernels::activation::silu}) {
    operand x = t.random(n * f, 1, 6), y = t.zeros(n * f), dy = t.random(n * f, 2), dx = t.zeros(n * f);
    kernels::activation_forward(t.card(), {.y_NF = y.card, .x_NF = x.card, .n = n, .f = f, .kind = kind});
    kernels::activation_forward(t.host(), {.y_NF = y.host.data(), .x_NF = x.host.data(), .n = n, .f = f, .kind = kind});
    t.near("activation_forward", y);
    kernels::activation_backward(t.card(),
                                 {.dx_NF = dx.card, .dy_NF = dy.card, .x_NF = x.card, .n = n, .f = f, .kind = kind});
    kernels::activation_backward(
        t.host(),
        {.dx_NF = dx.host.data(), .dy_NF = dy.host.data(), .x_NF = x.host.data(), .n = n, .f = f, .kind = kind});
    t.near("activation_backward", dx);
    operand gate_up = t.random(n * 2 * f, 3, 4), gated = t.zeros(n * f), dgate_up = t.zeros(n * 2 * f);
    kernels::gated_activation_forward(t.card(),
                                      {.y_NF = gated.card, .gate_up_N2F = gate_up.card, .n = n, .f = f, .kind = kind});
    kernels::gated_activation_forward(
        t.host(), {.y_NF = gated.host.data(), .gate_up_N2F = gate_up.host.data(), .n = n, .f = f, .kind = kind});
    t.near("gated_activation_forward", gated);
    kernels::gated_activation_backward(
        t.card(),
        {.dgate_up_N2F = dgate_up.card, .dy_NF = dy.card, .gate_up_N2F = gate_up.card, .n = n, .f = f, .kind = kind});
    kernels::gated_activation_backward(t.host(), {.dgate_up_N2F = dgate_up.host.data(),
                                                  .dy_NF = dy.host.data(),
                                                  .gate_up_N2F = gate_up.host.data(),
                                                  .n = n,
                                                  .f = f,
                                                  .kind = kind});
    t.near("gated_activation_backward", dgate_up);
  }
  constexpr int64_t count = 1000;
  operand y = t.random(count, 5);
  operand x = t.random(count, 6);
  kernels::add_in_place(t.card(), y.card, x.card, count);
  kernels::add_in_place(t.host(), y.host.data(), x.host.data(), count);
  t.near("add_in_place", y);
}

void norms(comparison& t) {
  constexpr int64_t n = 7;
  constexpr int64_t d = 136;
  for (const bool layer : {true, false}) {
    operand x = t.random(n * d, 1, 3), add = t.random(n * d, 2), gamma = t.random(d, 3), beta = t.random(d, 4);
    operand y = t.zeros(n * d);
    operand rstd = t.arrays().zeros(n, dtype::f32), mean = t.arrays().zeros(n, dtype::f32);
    const kernels::norm_args on_card{.y_ND = y.card,
                                     .rstd_N = rstd.card,
                                     .mean_N = layer ? static_cast<float*>(mean.card) : nullptr,
                                     .x_ND = x.card,
                                     .add_ND = add.card,
                                     .gamma_D = gamma.card,
                                     .beta_D = layer ? const_reals(beta.card) : nullptr,
                                     .n = n,
                                     .d = d};
    const kernels::norm_args on_host{.y_ND = y.host.data(),
                                     .rstd_N = rstd.host.data(),
                                     .mean_N = layer ? mean.host.data() : nullptr,
                                     .x_ND = x.host.data(),
                                     .add_ND = add.host.data(),
                                     .gamma_D = gamma.host.data(),
                                     .beta_D = layer ? beta.host.data() : nullptr,
                                     .n = n,
                                     .d = d};
    const auto forward = layer ? kernels::layer_norm_forward : kernels::rms_norm_forward;
    const auto backward = layer ? kernels::layer_norm_backward : kernels::rms_norm_backward;
    forward(t.card(), on_card);
    forward(t.host(), on_host);
    t.near(layer ? "layer_norm_forward" : "rms_norm_forward", y);
    x.host = t.arrays().read(x.card, n * d);  // the sum as the card has rounded it: both go on from the same
    rstd.host = t.arrays().read(rstd.card, n);
    mean.host = t.arrays().read(mean.card, n);
    operand dy = t.random(n * d, 5), dx = t.random(n * d, 6);
    operand dgamma = t.arrays().zeros(d, dtype::f32), dbeta = t.arrays().zeros(d, dtype::f32);
    backward(t.card(), {.dx_ND = dx.card,
                        .dgamma_D = dgamma.card,
                        .dbeta_D = layer ? static_cast<float*>(dbeta.card) : nullptr,
                        .dy_ND = dy.card,
                        .x_ND = x.card,
                        .gamma_D = gamma.card,
                        .rstd_N = rstd.card,
                        .mean_N = layer ? static_cast<float*>(mean.card) : nullptr,
                        .n = n,
                        .d = d});
    backward(t.host(), {.dx_ND = dx.host.data(),
                        .dgamma_D = dgamma.host.data(),
                        .dbeta_D = layer ? dbeta.host.data() : nullptr,
                        .dy_ND = dy.host.data(),
                        .x_ND = x.host.data(),
                        .gamma_D = gamma.host.data(),
                        .rstd_N = rstd.host.data(),
                        .mean_N = layer ? mean.host.data() : nullptr,
                        .n = n,
                        .d = d});
    const char* name = layer ? "layer_norm_backward" : "rms_norm_backward";
    t.near(name, dx);
    t.near(name, dgamma);
    if (layer) {
      t.near(name, dbeta);
    }
  }
}

void rotary(comparison& t) {
  constexpr int64_t n = 6, heads = 3, width = 16, rotated = 12, positions = 40;
  std::vector<float> cosine, sine;
  for (int64_t i = 0; i < positions * rotated / 2; ++i) {
    cosine.push_back(static_cast<float>(std::cos(0.01 * static_cast<double>(i))));
    sine.push_back(static_cast<float>(std::sin(0.01 * static_cast<double>(i))));
  }
  const std::vector<int32_t> position{0, 1, 2, 39, 17, 5};
  operand x = t.random(n * heads * width, 1);
  kernels::rotary_args on_card{.x_NE = x.card,
                               .row_stride = heads * width,
                               .n = n,
                               .heads = heads,
                               .head_width = width,
                               .rotated = rotated,
                               .position_N = t.arrays().upload_as_is(std::span<const int32_t>(position)),
                               .cos_PR2 = t.arrays().upload_as_is(std::span<const float>(cosine)),
                               .sin_PR2 = t.arrays().upload_as_is(std::span<const float>(sine))};
  kernels::rotary_args on_host = on_card;
  on_host.x_NE = x.host.data();
  on_host.position_N = position.data();
  on_host.cos_PR2 = cosine.data();
  on_host.sin_PR2 = sine.data();
  kernels::rotary_forward(t.card(), on_card);
  kernels::rotary_forward(t.host(), on_host);
  t.same_in_f32("rotary_forward", x);
  x.host = t.arrays().read(x.card, n * heads * width);
  on_host.x_NE = x.host.data();
  kernels::rotary_backward(t.card(), on_card);
  kernels::rotary_backward(t.host(), on_host);
  t.same_in_f32("rotary_backward", x);
}

void moved_rows(comparison& t) {
  constexpr int64_t n = 9, d = 40, rows = 4;
  const std::vector<int64_t> row{7, 0, 3, 8};
  const int64_t* row_there = t.arrays().upload_as_is(std::span<const int64_t>(row));
  operand from = t.random(n * d, 1), to = t.zeros(n * d), gathered = t.zeros(rows * d);
  kernels::copy_rows(t.card(), {.to = to.card, .from = from.card, .n = n, .width = d});
  to.host = from.host;
  t.same("copy_rows", to);
  kernels::gather_rows(t.card(),
                       {.to_AD = gathered.card, .from_ND = from.card, .row_A = row_there, .rows = rows, .d = d});
  kernels::gather_rows(
      t.host(),
      {.to_AD = gathered.host.data(), .from_ND = from.host.data(), .row_A = row.data(), .rows = rows, .d = d});
  t.same("gather_rows", gathered);
  kernels::scatter_rows(t.card(),
                        {.to_ND = to.card, .from_AD = gathered.card, .row_A = row_there, .n = n, .rows = rows, .d = d});
  kernels::scatter_rows(
      t.host(),
      {.to_ND = to.host.data(), .from_AD = gathered.host.data(), .row_A = row.data(), .n = n, .rows = rows, .d = d});
  t.same("scatter_rows", to);
  kernels::zero(t.card(), from.card, n * d);
  from.host.assign(n * d, 0.0F);
  t.same("zero", from);
}

void optimizer(comparison& t) {
  constexpr int64_t count = 3 * kernels::squares_block + 77;
  operand w = t.arrays().random(count, dtype::f32, 1), g = t.arrays().random(count, dtype::f32, 2);
  operand m = t.arrays().zeros(count, dtype::f32), v = t.arrays().zeros(count, dtype::f32);
  operand compute = t.zeros(count);
  kernels::adamw_args on_card{.weight = w.card,
                              .compute = t.type() == dtype::bf16 ? compute.card : reals(),
                              .first_moment = m.card,
                              .second_moment = v.card,
                              .gradient = g.card,
                              .count = count,
                              .learning_rate = 0.01F,
                              .weight_decay = 0.1F,
                              .gradient_scale = 0.7F};
  kernels::adamw_args on_host = on_card;
  on_host.weight = w.host.data();
  on_host.compute = nullptr;
  on_host.first_moment = m.host.data();
  on_host.second_moment = v.host.data();
  on_host.gradient = g.host.data();
  for (on_card.step = on_host.step = 1; on_card.step <= 3; ++on_card.step, ++on_host.step) {
    kernels::adamw_update(t.card(), on_card);
    kernels::adamw_update(t.host(), on_host);
  }
  t.same("adamw_update", w);
  t.same("adamw_update", m);
  t.same("adamw_update", v);
  if (t.type() == dtype::bf16) {
    compute.host = w.host;
    t.same("adamw_update", compute);
  }
  t.same("sum_of_squares", kernels::sum_of_squares(t.card(), w.card, count),
         kernels::sum_of_squares(t.host(), w.host.data(), count));
  const std::vector<int64_t> offset{0, 5, 5, kernels::squares_block + 1, count};
  std::vector<double> got(offset.size() - 1), want(offset.size() - 1);
  kernels::sums_of_squares(t.card(), w.card, offset, got);
  kernels::sums_of_squares(t.host(), w.host.data(), offset, want);
  t.require("sums_of_squares", got == want, "other bits");
  constexpr int64_t inputs = 150;  // of a unit between vectors: rows there, a panel here
  const std::vector<int64_t> around{0, 5, 5 + inputs * kernels::panel_width, count}, inputs_P{0, inputs, 0};
  std::vector<float> panels(w.host.begin(), w.host.end());
  kernels::to_panels(w.host.data() + 5, kernels::panel_width, inputs, panels.data() + 5);
  std::vector<double> of_rows(3), of_panels(3);
  kernels::sums_of_squares(t.card(), w.card, around, of_rows, inputs_P);
  kernels::sums_of_squares(t.host(), panels.data(), around, of_panels, inputs_P);
  t.require("sums_of_squares", of_rows == of_panels, "other bits of a unit");
  kernels::fold_average(t.card(), m.card, w.card, count, 0.9F);
  kernels::fold_average(t.host(), m.host.data(), w.host.data(), count, 0.9F);
  t.same("fold_average", m);
}

void joins(comparison& t) {
  constexpr int64_t count = 1000;
  constexpr uint64_t pieces = 6;
  std::vector<operand> all;
  std::vector<const float*> on_card, on_host;
  for (uint64_t piece = 0; piece < pieces; ++piece) {
    all.push_back(t.arrays().random(count, dtype::f32, piece));
    on_card.push_back(all.back().card);
    on_host.push_back(all.back().host.data());
  }
  operand sum = t.arrays().zeros(count, dtype::f32);
  kernels::join_pieces(t.card(), on_card, count, sum.card);
  kernels::join_pieces(t.host(), on_host, count, sum.host.data());
  t.same("join_pieces", sum);
}

}  // namespace

void compare_elements(comparison& t) {
  activations(t);
  norms(t);
  rotary(t);
  moved_rows(t);
  optimizer(t);
  joins(t);
}

}  // namespace troupe::gpu_check
