// How fast a model's forward and backward are, against the largest product.
#include "engine/train/micro_batch.hpp"
#include "kernels/rows.hpp"

#include <fmt/format.h>

#include "gpu/card_model.hpp"
#include "gpu/measure.hpp"
#include <cmath>

namespace troupe::gpu_check {

namespace {

/// Multiplications and additions of a sequence's forward and backward, which is twice the forward.
double operations(const engine::model_description& d, const engine::parameter_layout& layout, int64_t tokens) {
  double weights = 0;
  for (const engine::parameter& p : layout.all()) {
    const bool multiplied = p.role.kind == engine::parameter_kind::linear_weight ||
                            (p.role.kind == engine::parameter_kind::token_table && d.tied_head);
    weights += multiplied ? static_cast<double>(p.shape[0]) * static_cast<double>(p.shape[1]) : 0;
  }
  const auto n = static_cast<double>(tokens);
  // Scores and weighted values, each 2 n^2 / 2 of a head's width: no row sees what comes after it.
  const double attention = 2 * n * n * static_cast<double>(d.layers * d.heads * d.head_width);
  return 3 * (2 * weights * n + attention);
}

}  // namespace

outcome training(subject& of) {
  const engine::model_description description = shape_of_1b(of);
  const int64_t tokens = of.size(2048, 20);
  const int64_t arena = engine::transformer(description).layout().arena_size();
  const int64_t wanted = arena * (size_of(dtype::bf16) + size_of(dtype::f32)) +
                         2 * engine::saved_activations::bytes_for(description, tokens, false) + of.size(2LL << 30, 0);
  if (wanted > of.card.use().free) {
    return {.text = fmt::format("left out: it takes some {:.0f} GiB, and {:.0f} are free",
                                static_cast<double>(wanted) / (1 << 30),
                                static_cast<double>(of.card.use().free) / (1 << 30))};
  }
  const double peak = product_tflops(of);
  card_model model(of.on_card, description, dtype::bf16);
  engine::buffer gradients;
  kernels::zero(of.on_card, gradients.floats(of.on_card, arena), arena);
  engine::train_workspace workspace;
  engine::packed_batch batch;
  std::vector<int32_t> sequence;
  for (int64_t i = 0; i < tokens; ++i) {
    sequence.push_back(static_cast<int32_t>((7919 * i * i + 31 * i) % description.vocabulary));
  }
  batch.add(sequence, 1);
  engine::lm_statistics last;
  const double seconds = seconds_of(of.card, 1, [&] {
    last = engine::sft_micro_batch(of.on_card, {model.net(), model.weights(), gradients.data(), workspace}, batch,
                                   {.tokens = static_cast<double>(tokens - 1)});
  });
  outcome found;
  found.good = std::isfinite(last.nll_nats);
  const double nats = last.nll_nats / static_cast<double>(tokens - 1);
  if (of.emulated) {
    found.text = fmt::format(
        "forward and backward of {} tokens, {:.2f} nats a token; emulated, a tiny model: no speeds", tokens, nats);
    return found;
  }
  const double tflops = operations(description, model.net().layout(), tokens) / 1e12 / seconds;
  found.text = fmt::format(
      "1.3B, {} tokens, forward and backward: {:.1f} ms, {:.0f} tokens/s, {:.0f} TFLOP/s: {:.0f} % "
      "of the {:.0f} of the largest product ({:.2f} nats a token)",
      tokens, seconds * 1e3, static_cast<double>(tokens) / seconds, tflops, 100 * tflops / peak, peak, nats);
  found.figures = {
      {"tokens_per_s", static_cast<double>(tokens) / seconds}, {"tflops", tflops}, {"share", tflops / peak}};
  return found;
}

}  // namespace troupe::gpu_check
