/// A fixture's model on an emulated card, for tests of the engine there.
#pragma once

#include "engine/arena/card_arena.hpp"
#include "engine/tensor/buffer.hpp"
#include "engine/tensor/transfer.hpp"
#include "support/emulation/card_test.hpp"
#include "support/model_fixture.hpp"
#include "support/random_model.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::test {

/// A model's weights on a card, in a type.
class model_on_card {
public:
  /// A loaded_model, or a random_model.
  template <class Model>
  model_on_card(context& ctx, const Model& model, dtype type)
      : weights_(arena_.room(ctx, type, model.net.layout().arena_size())) {
    engine::staging through;
    engine::send_arena(ctx, model.net.layout(), model.weights.data(), weights_, through);
  }
  const_reals weights() const { return weights_; }

private:
  engine::buffer arena_;
  reals weights_;
};

/// What the card's weights are, in an arena of the host.
inline aligned_buffer<float> rounded_weights(const loaded_model& model, dtype type) {
  aligned_buffer<float> weights(model.weights.size());
  for (int64_t i = 0; i < weights.size(); ++i) {
    const float weight = model.weights.data()[i];
    weights[i] = type == dtype::bf16 ? to_float(to_bf16(weight)) : weight;
  }
  return weights;
}

inline std::vector<float> fetched(context& ctx, const_reals from, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  engine::fetch(ctx, from, values);
  return values;
}

/// Gradients of a model's layout where a call computes, zero at first.
class gradient_arena {
public:
  gradient_arena(context& ctx, const engine::parameter_layout& layout) : layout_(layout) {
    const std::vector<float> zeros(static_cast<size_t>(layout.arena_size()));
    engine::send(ctx, arena_.floats(ctx, layout.arena_size()), zeros.data(),
                 layout.arena_size() * static_cast<int64_t>(sizeof(float)));
  }
  float* data() const { return arena_.data(); }

  /// In panels, wherever it is.
  std::vector<float> values(context& ctx) const {
    if (ctx.on == nullptr) {
      return fetched(ctx, arena_.data(), layout_.arena_size());
    }
    std::vector<float> values(static_cast<size_t>(layout_.arena_size()));
    engine::staging through;
    engine::fetch_arena(ctx, layout_, arena_.data(), values.data(), through);
    return values;
  }

private:
  const engine::parameter_layout& layout_;
  engine::buffer arena_;
};

/// Each parameter of two arenas in panels, by the sum of squares.
inline void expect_near_by_parameter(const engine::parameter_layout& layout, std::span<const float> got,
                                     std::span<const float> want, double limit) {
  for (const engine::parameter& p : layout.all()) {
    const auto part = [&](std::span<const float> all) {
      return all.subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.size));
    };
    EXPECT_LE(relative_error(part(got), to_double(part(want))), limit) << p.name;
  }
}

}  // namespace troupe::test
