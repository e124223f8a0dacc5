#include "gpu/card_model.hpp"

#include "base/random.hpp"
#include "engine/tensor/transfer.hpp"
#include "kernels/rows.hpp"
#include "support/random_model.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace troupe::gpu_check {

engine::model_description shape_of_1b(const subject& of) {
  if (of.emulated) {
    return test::describe_small({.name = "opt", .family = "opt"}, {.feed_forward = 64});
  }
  return engine::describe({{"model_type", std::string("opt")},
                           {"vocab_size", int64_t{50272}},
                           {"hidden_size", int64_t{2048}},
                           {"num_hidden_layers", int64_t{24}},
                           {"num_attention_heads", int64_t{32}},
                           {"ffn_dim", int64_t{8192}},
                           {"max_position_embeddings", int64_t{2048}}});
}

engine::model_description shape_of_8b() {
  return engine::describe({{"model_type", std::string("llama")},
                           {"vocab_size", int64_t{128256}},
                           {"hidden_size", int64_t{4096}},
                           {"num_hidden_layers", int64_t{32}},
                           {"num_attention_heads", int64_t{32}},
                           {"num_key_value_heads", int64_t{8}},
                           {"intermediate_size", int64_t{14336}},
                           {"max_position_embeddings", int64_t{8192}},
                           {"rope_theta", 500000.0}});
}

card_model::card_model(context& on_card, const engine::model_description& description, dtype type, uint64_t seed)
    : net_(description), weights_(arena_.room(on_card, type, net_.layout().arena_size())) {
  fill(on_card, seed);
}

/// A matrix is of normal values that leave a row's norm as it is, about; norms are near 1, biases near 0.
void card_model::fill(context& on_card, uint64_t seed) {
  constexpr int64_t period = (1 << 18) - 5;  // no matrix is as wide, nor a multiple of it: rows differ
  const random_key key{.seed = seed, .stream = 0};
  const double deviation = 1 / std::sqrt(static_cast<double>(net_.description().width));
  std::vector<float> normal(period);
  for (size_t i = 0; i < normal.size(); ++i) {
    normal[i] = static_cast<float>(deviation * random_normal(key, i));
  }
  engine::buffer pattern;
  const reals there = pattern.room(on_card, weights_.type(), period);
  engine::send(on_card, normal, there);
  kernels::zero(on_card, weights_, net_.layout().arena_size());  // gaps, and the rows that fill a matrix' last unit
  int64_t next = 0;
  for (const engine::parameter& p : net_.layout().all()) {
    if (!p.is_matrix()) {
      std::vector<float> values(normal.begin(), normal.begin() + p.shape[0]);
      const float middle = p.role.kind == engine::parameter_kind::norm_scale ? 1.0F : 0.0F;
      std::transform(values.begin(), values.end(), values.begin(), [&](float x) { return middle + x; });
      engine::send(on_card, values, weights_ + p.offset);
      continue;
    }
    const int64_t count = p.shape[0] * p.shape[1];
    for (int64_t done = 0; done < count;) {
      const int64_t piece = std::min(count - done, period - next);
      on_card.on->copy(queue::compute, (weights_ + (p.offset + done)).data(), (there + next).data(),
                       piece * size_of(weights_.type()));
      done += piece;
      next = (next + piece) % period;
    }
  }
  engine::settle(on_card);  // it reads `pattern`
}

int64_t card_model::bytes_of_a_step() const {
  int64_t count = 0;
  for (const engine::parameter& p : net_.layout().all()) {
    const bool looked_up = p.role.kind == engine::parameter_kind::position_table ||
                           (p.role.kind == engine::parameter_kind::token_table && !net_.description().tied_head);
    count += looked_up ? 0 : p.size;
  }
  return count * size_of(weights_.type());
}

}  // namespace troupe::gpu_check
