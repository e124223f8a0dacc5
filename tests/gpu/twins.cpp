// Each operation of the card against the host's: the same bits where both promise them, else the error of the type.
#include "base/round_up.hpp"

#include <fmt/format.h>

#include "gpu/card_arrays.hpp"
#include "gpu/stage.hpp"
#include <algorithm>
#include <cmath>
#include <set>

namespace troupe::gpu_check {

namespace {

/// What has been compared, in one type of operands.
class comparison {
public:
  comparison(subject& of, dtype type) : of_(of), type_(type), arrays_(of.card) {}

  dtype type() const { return type_; }
  context& card() { return of_.on_card; }
  context& host() { return of_.on_host; }
  const kernels::device_ops& ops() const { return of_.card.ops(); }
  card_arrays& arrays() { return arrays_; }
  operand random(int64_t count, uint64_t stream, double scale = 1.0) {
    return arrays_.random(count, type_, stream, scale);
  }
  operand zeros(int64_t count) { return arrays_.zeros(count, type_); }

  /// `got` on the card, and what the host has made of the same.
  void near(const char* operation, const_reals got, std::span<const float> want) {
    // One rounding to bfloat16 is 2^-9 at most; in float32 functions differ in their last bits.
    const double limit = type_ == dtype::bf16 ? 0x1p-16 : 1e-11;
    const double apart = relative_error(arrays_.read(got, static_cast<int64_t>(want.size())), want);
    worst = std::max(worst, apart);
    note(operation, apart <= limit, fmt::format("error {:.2g}", apart));
  }
  void near(const char* operation, const operand& o) { near(operation, o.card, o.host); }
  void same(const char* operation, const float* got, std::span<const float> want) {
    note(operation, same_bits(arrays_.read(got, static_cast<int64_t>(want.size())), want), "other bits");
  }
  void same(const char* operation, double got, double want) { note(operation, got == want, "other bits"); }

  std::set<std::string> compared;
  std::string faults;
  double worst = 0;

private:
  void note(const char* operation, bool good, const std::string& fault) {
    compared.insert(operation);
    if (!good) {
      faults += fmt::format("{} in {}: {}; ", operation, to_string(type_), fault);
    }
  }

  subject& of_;
  dtype type_;
  card_arrays arrays_;
};

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

void linear(comparison& t) {
  constexpr int64_t outputs = 72;
  constexpr int64_t inputs = 48;
  constexpr int64_t rows_there = round_up(outputs, kernels::panel_width);
  for (const int64_t n : {3, 40, 100}) {
    operand w{random_values(outputs * inputs, 1), nullptr};
    for (float& value : w.host) {
      value = rounded(value, t.type());
    }
    std::vector<float> padded = w.host;
    padded.resize(rows_there * inputs);
    w.card = t.arrays().upload(padded, t.type());
    std::vector<float> panels(padded.size());
    kernels::to_panels(w.host.data(), outputs, inputs, panels.data());

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
                                       .weight = panels.data(),
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
                                              .weight = panels.data(),
                                              .n = n,
                                              .outputs = outputs,
                                              .inputs = inputs});
    t.near("linear_backward_input", dx);

    operand dw = t.arrays().zeros(rows_there * inputs, dtype::f32);
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
    t.near("linear_backward_weight", dw.card, dw_rows);
    t.near("linear_backward_weight", dbias);
  }
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
  t.near("rotary_forward", x);
  x.host = t.arrays().read(x.card, n * heads * width);
  on_host.x_NE = x.host.data();
  kernels::rotary_backward(t.card(), on_card);
  kernels::rotary_backward(t.host(), on_host);
  t.near("rotary_backward", x);
}

void moved_rows(comparison& t) {
  constexpr int64_t n = 9, d = 40, rows = 4;
  const std::vector<int64_t> row{7, 0, 3, 8};
  const int64_t* row_there = t.arrays().upload_as_is(std::span<const int64_t>(row));
  operand from = t.random(n * d, 1), to = t.zeros(n * d), gathered = t.zeros(rows * d);
  kernels::copy_rows(t.card(), {.to = to.card, .from = from.card, .n = n, .width = d});
  t.near("copy_rows", to.card, from.host);
  kernels::gather_rows(t.card(),
                       {.to_AD = gathered.card, .from_ND = from.card, .row_A = row_there, .rows = rows, .d = d});
  kernels::gather_rows(
      t.host(),
      {.to_AD = gathered.host.data(), .from_ND = from.host.data(), .row_A = row.data(), .rows = rows, .d = d});
  t.near("gather_rows", gathered);
  kernels::scatter_rows(t.card(),
                        {.to_ND = to.card, .from_AD = gathered.card, .row_A = row_there, .n = n, .rows = rows, .d = d});
  kernels::scatter_rows(
      t.host(),
      {.to_ND = to.host.data(), .from_AD = gathered.host.data(), .row_A = row.data(), .n = n, .rows = rows, .d = d});
  t.near("scatter_rows", to);
  kernels::zero(t.card(), from.card, n * d);
  t.near("zero", from.card, std::vector<float>(n * d));
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
  t.same("adamw_update", w.card, w.host);
  t.same("adamw_update", m.card, m.host);
  t.same("adamw_update", v.card, v.host);
  if (t.type() == dtype::bf16) {
    t.near("adamw_update", compute.card, w.host);
  }
  t.same("sum_of_squares", kernels::sum_of_squares(t.card(), w.card, count),
         kernels::sum_of_squares(t.host(), w.host.data(), count));
  kernels::fold_average(t.card(), m.card, w.card, count, 0.9F);
  kernels::fold_average(t.host(), m.host.data(), w.host.data(), count, 0.9F);
  t.same("fold_average", m.card, m.host);
}

void log_prob(comparison& t) {
  constexpr int64_t n = 21, d = 48, vocabulary = 200;
  constexpr int64_t rows_there = round_up(vocabulary, kernels::panel_width);
  std::vector<float> w = random_values(rows_there * d, 1);
  std::fill(w.begin() + vocabulary * d, w.end(), 0.0F);
  for (float& value : w) {
    value = rounded(value, t.type());
  }
  std::vector<float> panels(w.size());
  kernels::to_panels(w.data(), vocabulary, d, panels.data());
  std::vector<int32_t> target;
  for (int64_t i = 0; i < n; ++i) {
    target.push_back(static_cast<int32_t>(i * 7919 % vocabulary));
  }
  operand x = t.random(n * d, 2);
  operand logprob = t.arrays().zeros(n, dtype::f32), entropy = t.arrays().zeros(n, dtype::f32);
  const kernels::log_prob_args on_host{.logprob_N = logprob.host.data(),
                                       .entropy_N = entropy.host.data(),
                                       .x_ND = x.host.data(),
                                       .weight = panels.data(),
                                       .target_N = target.data(),
                                       .n = n,
                                       .d = d,
                                       .vocabulary = vocabulary,
                                       .temperature = 0.7F};
  kernels::log_prob_args on_card = on_host;
  on_card.logprob_N = logprob.card;
  on_card.entropy_N = entropy.card;
  on_card.x_ND = x.card;
  on_card.weight = t.arrays().upload(w, t.type());
  on_card.target_N = t.arrays().upload_as_is(std::span<const int32_t>(target));
  kernels::log_prob_forward(t.card(), on_card);
  kernels::log_prob_forward(t.host(), on_host);
  t.near("log_prob_forward", logprob);
  t.near("log_prob_forward", entropy);
}

/// Of one type, the operations that this module has.
std::string compare(comparison& t) {
  const kernels::device_ops& ops = t.ops();
  std::string missing;
  const auto either = [&](const char* name, bool there, void (*run)(comparison&)) {
    if (there) {
      run(t);
    } else {
      missing += fmt::format(" {}", name);
    }
  };
  either("activations", ops.gated_activation_backward != nullptr, activations);
  either("products", ops.linear_forward != nullptr, linear);
  either("norms", ops.rms_norm_backward != nullptr, norms);
  either("rotary", ops.rotary_backward != nullptr, rotary);
  either("rows", ops.scatter_rows != nullptr, moved_rows);
  either("log_prob", ops.log_prob_forward != nullptr, log_prob);
  either("optimizer", ops.fold_average != nullptr, optimizer);
  return missing;
}

}  // namespace

outcome twins(subject& of) {
  outcome found;
  std::set<std::string> compared;
  std::string missing;
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    comparison all(of, type);
    missing = compare(all);
    compared.insert(all.compared.begin(), all.compared.end());
    found.good = found.good && all.faults.empty();
    found.text += all.faults;
    found.figures.push_back({fmt::format("worst_error_{}", to_string(type)), all.worst});
  }
  found.text += fmt::format("{} operations against the host's in f32 and bf16, worst errors {:.2g} and {:.2g}{}{}",
                            compared.size(), found.figures[0].value, found.figures[1].value,
                            missing.empty() ? "" : "; not in this module:", missing);
  found.figures.push_back({"operations", static_cast<double>(compared.size())});
  return found;
}

}  // namespace troupe::gpu_check
