/// Models of random weights on a card.
#pragma once

#include "engine/models/transformer.hpp"
#include "engine/tensor/buffer.hpp"

#include "gpu/stage.hpp"

namespace troupe::gpu_check {

/// The shape of OPT-1.3B; where the card is emulated a tiny one of that family.
engine::model_description shape_of_1b(const subject& of);
/// The shape of Llama 3's 8B.
engine::model_description shape_of_8b();

/// A model of any size whose weights are made on the card: parts of one random sequence. Gone with its owner, which
/// the card outlives.
class card_model {
public:
  /// Errors  out_of_memory.
  card_model(context& on_card, const engine::model_description& description, dtype type, uint64_t seed = 1);

  const engine::transformer& net() const { return net_; }
  const_reals weights() const { return weights_; }
  reals weights_to_change() { return weights_; }

  /// Bytes of weights that a step of decoding reads: all but the tables of which it looks up rows.
  int64_t bytes_of_a_step() const;

private:
  void fill(context& on_card, uint64_t seed);

  engine::transformer net_;
  engine::buffer arena_;
  reals weights_;
};

}  // namespace troupe::gpu_check
