// Whole models of every family on the card against the host: forward, backward, and that tokens are drawn with the
// log-probabilities that scoring gives.
#include "engine/arena/card_arena.hpp"
#include "engine/tensor/buffer.hpp"
#include "engine/tensor/transfer.hpp"
#include "kernels/rows.hpp"
#include "support/exact_rollout.hpp"
#include "support/random_model.hpp"

#include <fmt/format.h>

#include "gpu/card_arrays.hpp"
#include "gpu/stage.hpp"
#include <algorithm>

namespace troupe::gpu_check {

namespace {

/// Sequences of lengths that fill no tile.
struct packed_tokens {
  packed_tokens(const subject& of, int64_t vocabulary) {
    for (const int64_t length : of.emulated ? std::vector<int64_t>{5, 1, 9} : std::vector<int64_t>{70, 1, 129, 33}) {
      for (int64_t i = 0; i < length; ++i) {
        token_N.push_back(static_cast<int32_t>((31 * i * i + 17 * length) % vocabulary));
      }
      offset_B1.push_back(static_cast<int64_t>(token_N.size()));
    }
  }
  engine::token_batch view() const { return {.token_N = token_N, .offset_B1 = offset_B1, .position_N = {}}; }

  std::vector<int32_t> token_N;
  std::vector<int64_t> offset_B1{0};
};

struct passed {
  std::vector<float> hidden, gradients;  ///< gradients: an arena in panels
};

passed pass(context& ctx, const engine::transformer& net, const_reals weights, const packed_tokens& batch) {
  const dtype activations = ctx.on == nullptr ? dtype::f32 : weights.type();
  const int64_t count = batch.view().tokens() * net.description().embedding_width;
  const int64_t arena = net.layout().arena_size();
  engine::buffer hidden, dhidden, gradients;
  hidden.room(ctx, activations, count);
  engine::send(ctx, random_values(count, 5), dhidden.room(ctx, activations, count));
  kernels::zero(ctx, gradients.floats(ctx, arena), arena);
  engine::saved_activations saved;
  net.forward(ctx, weights, batch.view(), hidden.data(), saved);
  passed out{std::vector<float>(static_cast<size_t>(count)), std::vector<float>(static_cast<size_t>(arena))};
  engine::fetch(ctx, hidden.data(), out.hidden);
  net.backward(ctx, weights, batch.view(), saved, dhidden.data(), gradients.data());
  if (ctx.on == nullptr) {
    engine::fetch(ctx, gradients.data(), out.gradients);
  } else {
    engine::fetch_arena(ctx, net.layout(), gradients.data(), out.gradients.data());
  }
  return out;
}

/// The largest error of a parameter's gradient.
double gradient_error(const engine::parameter_layout& layout, const passed& a, const passed& b) {
  double worst = 0;
  for (const engine::parameter& p : layout.all()) {
    const auto part = [&](const passed& of) {
      return std::span(of.gradients).subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.size));
    };
    worst = std::max(worst, relative_error(part(a), part(b)));
  }
  return worst;
}

struct errors {
  double hidden = 0, gradients = 0;
};

}  // namespace

outcome models(subject& of) {
  outcome found;
  const std::vector<test::model_variant> variants = test::model_variants();
  test::exactness drawn;
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    errors worst;
    // Of sums of squares; in bfloat16 against the host's activations in float32.
    const double limit = type == dtype::bf16 ? 1e-3 : 1e-9;
    for (size_t i = 0; i < variants.size(); ++i) {
      test::small_shape shape;
      shape.head_width = of.size(32, 8);
      shape.layers = of.size(3, 2);
      shape.feed_forward = of.size(200, 40);
      const test::random_model model = test::make_random_model(test::describe_small(variants[i], shape), i);
      const int64_t arena = model.net.layout().arena_size();
      engine::buffer there;
      const reals weights = there.room(of.on_card, type, arena);
      engine::send_arena(of.on_card, model.net.layout(), model.weights.data(), weights);
      std::vector<float> on_host(model.weights.begin(), model.weights.end());
      std::transform(on_host.begin(), on_host.end(), on_host.begin(), [&](float x) { return rounded(x, type); });

      const packed_tokens batch(of, shape.vocabulary);
      const passed card = pass(of.on_card, model.net, weights, batch);
      const passed host = pass(of.on_host, model.net, on_host.data(), batch);
      const double hidden = relative_error(card.hidden, host.hidden);
      const double gradients = gradient_error(model.net.layout(), card, host);
      if (!(hidden <= limit && gradients <= 30 * limit)) {
        found.good = false;
        found.text += fmt::format("{} in {}: errors {:.2g} of hidden states, {:.2g} of gradients; ", variants[i].name,
                                  to_string(type), hidden, gradients);
      }
      worst = {std::max(worst.hidden, hidden), std::max(worst.gradients, gradients)};

      const test::rollout_limits limits{.requests = of.size(8, 2), .samples = 3, .answer = of.size(30, 4)};
      const test::exactness one =
          test::measure_exactness(of.on_card, model.net, weights, weights,
                                  test::draw_rollout(model.net.description(), limits, i), of.size(400, 60), i);
      if (one.different != 0) {
        found.good = false;
        found.text += fmt::format("{} in {}: {}; ", variants[i].name, to_string(type), one.first_difference);
      }
      drawn.add(one);
    }
    found.text += fmt::format("{}: errors at most {:.2g} of hidden states, {:.2g} of gradients; ", to_string(type),
                              worst.hidden, worst.gradients);
    found.figures.push_back({fmt::format("hidden_error_{}", to_string(type)), worst.hidden});
    found.figures.push_back({fmt::format("gradient_error_{}", to_string(type)), worst.gradients});
  }
  found.text = fmt::format("{} models of {} kinds; {}{} of {} drawn log-probs differ from scored ones",
                           2 * variants.size(), variants.size(), found.text, drawn.different, drawn.tokens);
  found.figures.push_back({"drawn", static_cast<double>(drawn.tokens)});
  found.figures.push_back({"different", static_cast<double>(drawn.different)});
  return found;
}

}  // namespace troupe::gpu_check
