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
#include <cmath>

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
    engine::staging through;
    engine::fetch_arena(ctx, net.layout(), gradients.data(), out.gradients.data(), through);
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

/// Of sums of squares. In bfloat16 against the host's activations in float32. Where a value is so near 0 that its sign
/// is another, a gradient through relu is there or not; what is wrong has errors near 1.
errors limits_of(const engine::model_description& model, dtype type) {
  const bool relu = model.activation == kernels::activation::relu;
  return type == dtype::bf16 ? errors{2e-3, relu ? 0.1 : 0.03} : errors{1e-9, relu ? 1e-3 : 3e-8};
}

/// The models of one type.
class looked_at {
public:
  looked_at(subject& of, dtype type) : of_(of), type_(type) {}

  void look(const test::model_variant& variant, uint64_t seed) {
    const test::small_shape shape{
        .layers = of_.size(3, 2), .head_width = of_.size(32, 8), .feed_forward = of_.size(200, 40)};
    const engine::model_description description = test::describe_small(variant, shape);
    const test::random_model model =
        test::make_random_model(description, seed, 1.4 / std::sqrt(static_cast<double>(description.width)));
    engine::buffer there;
    const reals weights = there.room(of_.on_card, type_, model.net.layout().arena_size());
    engine::staging through;
    engine::send_arena(of_.on_card, model.net.layout(), model.weights.data(), weights, through);
    compare_passes(variant.name, model, weights);
    draw(variant.name, model.net, weights, seed);
  }

  std::string faults;
  errors worst;
  test::exactness drawn;

private:
  void compare_passes(const std::string& name, const test::random_model& model, const_reals weights) {
    std::vector<float> on_host(model.weights.begin(), model.weights.end());
    std::transform(on_host.begin(), on_host.end(), on_host.begin(), [&](float x) { return rounded(x, type_); });
    const engine::model_description& description = model.net.description();
    const packed_tokens batch(of_, description.vocabulary);
    const passed card = pass(of_.on_card, model.net, weights, batch);
    const passed host = pass(of_.on_host, model.net, on_host.data(), batch);
    const errors found{relative_error(card.hidden, host.hidden), gradient_error(model.net.layout(), card, host)};
    const errors limits = limits_of(description, type_);
    if (!(found.hidden <= limits.hidden && found.gradients <= limits.gradients)) {
      faults += fmt::format("{} in {}: errors {:.2g} of hidden states, {:.2g} of gradients; ", name, to_string(type_),
                            found.hidden, found.gradients);
    }
    worst = {std::max(worst.hidden, found.hidden), std::max(worst.gradients, found.gradients)};
  }

  void draw(const std::string& name, const engine::transformer& net, const_reals weights, uint64_t seed) {
    const test::rollout_limits limits{.requests = of_.size(8, 2), .samples = 3, .answer = of_.size(30, 4)};
    const test::exactness one =
        test::measure_exactness(of_.on_card, net, weights, weights, test::draw_rollout(net.description(), limits, seed),
                                of_.size(400, 60), seed);
    if (one.different != 0) {
      faults += fmt::format("{} in {}: {}; ", name, to_string(type_), one.first_difference);
    }
    drawn.add(one);
  }

  subject& of_;
  dtype type_;
};

}  // namespace

outcome models(subject& of) {
  outcome found;
  const std::vector<test::model_variant> variants = test::model_variants();
  std::string worst;
  test::exactness drawn;
  for (const dtype type : {dtype::f32, dtype::bf16}) {
    looked_at all(of, type);
    for (size_t i = 0; i < variants.size(); ++i) {
      all.look(variants[i], i);
    }
    drawn.add(all.drawn);
    found.text += all.faults;
    worst += fmt::format("{}: errors at most {:.2g} of hidden states, {:.2g} of gradients; ", to_string(type),
                         all.worst.hidden, all.worst.gradients);
    found.figures.push_back({fmt::format("hidden_error_{}", to_string(type)), all.worst.hidden});
    found.figures.push_back({fmt::format("gradient_error_{}", to_string(type)), all.worst.gradients});
  }
  found.good = found.text.empty();
  found.text += fmt::format("{} kinds of models; {}{} of {} drawn log-probs differ from scored ones", variants.size(),
                            worst, drawn.different, drawn.tokens);
  found.figures.push_back({"drawn", static_cast<double>(drawn.tokens)});
  found.figures.push_back({"different", static_cast<double>(drawn.different)});
  return found;
}

}  // namespace troupe::gpu_check
