// What the card's matrix products rest on: the arithmetic of its matrix units, and that a row's bits are its own.
#include "base/round_up.hpp"
#include "support/emulation/matrix_unit.hpp"

#include <fmt/format.h>

#include "gpu/card_arrays.hpp"
#include "gpu/stage.hpp"
#include <algorithm>
#include <bit>
#include <cmath>

namespace troupe::gpu_check {

namespace {

/// A weight [outputs, inputs] as it lies on a card.
operand random_weight(card_arrays& arrays, int64_t outputs, int64_t inputs, uint64_t stream) {
  operand w{random_values(outputs * inputs, stream), nullptr};
  for (float& value : w.host) {
    value = rounded(value, dtype::bf16);
  }
  std::vector<float> padded = w.host;
  padded.resize(static_cast<size_t>(round_up(outputs, kernels::panel_width) * inputs));
  w.card = arrays.upload(padded, dtype::bf16);
  return w;
}

/// y = x W^T by steps of 16 as the emulation has them.
float chain(const float* x, const float* w, int64_t inputs, emulation::matrix_unit unit) {
  float sum = 0;
  for (int64_t k = 0; k < inputs; k += 16) {
    uint16_t a[16] = {};
    uint16_t b[16] = {};
    for (int64_t i = 0; i < std::min<int64_t>(16, inputs - k); ++i) {
      a[i] = to_bf16(x[k + i]).bits;
      b[i] = to_bf16(w[k + i]).bits;
    }
    sum = emulation::dot_16(a, b, sum, unit);
  }
  return sum;
}

}  // namespace

outcome units(subject& of) {
  const int major = of.card.facts().major;
  if (major != 8 && major != 9) {
    return {.text = "left out: the arithmetic of this architecture's matrix units is not emulated"};
  }
  const auto unit = major == 9 ? emulation::matrix_unit::hopper : emulation::matrix_unit::ampere;
  struct shape {
    int64_t n, outputs, inputs;
  };
  int64_t elements = 0;
  int64_t different = 0;
  for (const auto& [n, outputs, inputs] : {shape{8, 40, 16}, {64, 72, 16}, {48, 96, 112}, {128, 128, 48}}) {
    card_arrays arrays(of.card);
    // Exponents apart, so that terms are cut off.
    operand x = arrays.random(n * inputs, dtype::bf16, 1);
    for (size_t i = 0; i < x.host.size(); ++i) {
      x.host[i] = std::ldexp(x.host[i], static_cast<int>(i * 7 % 31) - 15);
    }
    x.card = arrays.upload(x.host, dtype::bf16);
    const operand w = random_weight(arrays, outputs, inputs, 2);
    const reals y = arrays.empty(n * outputs, dtype::f32);
    kernels::linear_forward(
        of.on_card, {.y_NO = y, .x_NI = x.card, .weight = w.card, .n = n, .outputs = outputs, .inputs = inputs});
    const std::vector<float> got = arrays.read(y, n * outputs);
    for (int64_t row = 0; row < n; ++row) {
      for (int64_t o = 0; o < outputs; ++o) {
        const float want = chain(x.host.data() + row * inputs, w.host.data() + o * inputs, inputs, unit);
        different += std::bit_cast<uint32_t>(want) != std::bit_cast<uint32_t>(got[row * outputs + o]) ? 1 : 0;
        ++elements;
      }
    }
  }
  return {.good = different == 0,
          .text =
              fmt::format("{} of {} elements of products differ from the emulated matrix unit", different, elements),
          .figures = {{"elements", static_cast<double>(elements)}, {"different", static_cast<double>(different)}}};
}

outcome invariance(subject& of) {
  outcome found;
  int64_t compared = 0;
  for (const bool with_bias : {false, true}) {
    const int64_t outputs = of.size(2048, 64);
    const int64_t inputs = of.size(2048, 96);
    card_arrays arrays(of.card);
    const std::vector<int64_t> batches = of.emulated ? std::vector<int64_t>{1, 16, 64, 70, 130}
                                                     : std::vector<int64_t>{1, 16, 64, 65, 128, 256, 1000, 4096};
    const int64_t most = batches.back();
    const operand x = arrays.random(most * inputs, dtype::bf16, 1);
    const operand w = random_weight(arrays, outputs, inputs, 2);
    const operand bias = arrays.random(outputs, dtype::bf16, 3);
    const reals y = arrays.empty(most * outputs, dtype::bf16);
    std::vector<float> whole;
    for (auto n = batches.rbegin(); n != batches.rend(); ++n) {
      const int64_t first = *n == most ? 0 : most / 3 - 1;  // other neighbours, and another place in a tile
      const int64_t count = std::min(*n, most - first);
      kernels::linear_forward(of.on_card, {.y_NO = y,
                                           .x_NI = x.card + first * inputs,
                                           .weight = w.card,
                                           .bias_O = with_bias ? const_reals(bias.card) : nullptr,
                                           .n = count,
                                           .outputs = outputs,
                                           .inputs = inputs});
      const std::vector<float> got = arrays.read(y, count * outputs);
      if (whole.empty()) {
        whole = got;
      }
      const std::span want(whole.data() + first * outputs, got.size());
      ++compared;
      if (!same_bits(got, want)) {
        found.good = false;
        found.text +=
            fmt::format("{} rows{} differ from the same rows among {}; ", count, with_bias ? " with bias" : "", most);
      }
    }
  }
  found.text += fmt::format("{} batches of products compared bit by bit", compared);
  found.figures = {{"batches", static_cast<double>(compared)}};
  return found;
}

outcome repeats(subject& of) {
  card_arrays arrays(of.card);
  const int64_t n = of.size(512, 70);
  const int64_t width = of.size(1024, 64);
  const operand x = arrays.random(n * width, dtype::bf16, 1);
  const operand w = random_weight(arrays, width, width, 2);
  const reals y = arrays.empty(n * width, dtype::bf16);
  float* const dw = arrays.upload_as_is(std::span<const float>(random_values(width * width, 3)));
  const std::vector<float> dw_before = arrays.read(dw, width * width);
  const auto work = [&] {
    kernels::linear_forward(of.on_card,
                            {.y_NO = y, .x_NI = x.card, .weight = w.card, .n = n, .outputs = width, .inputs = width});
    kernels::linear_backward_weight(
        of.on_card, {.dweight = dw, .x_NI = x.card, .dy_NO = y, .n = n, .outputs = width, .inputs = width});
  };
  const auto results = [&](const auto& run) {
    of.card.copy(queue::compute, dw, dw_before.data(), width * width * 4);
    run();
    std::vector<float> all = arrays.read(y, n * width);
    const std::vector<float> more = arrays.read(dw, width * width);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::vector<float> first = results(work);
  const bool again = same_bits(first, results(work));
  const auto recorded = of.card.record_calls(work);
  const bool replayed = same_bits(first, results([&] { recorded->replay(); }));
  return {.good = again && replayed,
          .text = fmt::format("the same calls again give {} bits, their replay {}", again ? "the same" : "OTHER",
                              replayed ? "the same" : "OTHER")};
}

}  // namespace troupe::gpu_check
