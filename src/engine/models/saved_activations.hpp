/// What saved_activations (transformer.hpp) holds.
#pragma once

#include "engine/models/block.hpp"
#include "engine/models/transformer.hpp"

namespace troupe::engine {

/// Per token and block: D (input) + (H + 2G) K (queries, keys, values) + H K + H (attention and its log-sum-exp)
/// + D (between the halves; not where parallel) + U (before the activation) + D (post-norm only)
/// floats, and D more for the last block's output. With checkpointing: D per token and block, and
/// one block's worth of the rest.
struct saved_activations::storage {
  /// Widths of what is kept for a row; 0: not kept.
  struct row_widths {
    explicit row_widths(const model_description& d);
    int64_t input, qkv, attention, lse, middle, up, sum;
    int64_t block() const { return qkv + attention + lse + middle + up + sum; }  ///< beside its input
  };

  bool checkpointing = false;
  int64_t n = 0;  ///< of the batch that was saved
  int64_t layers = 0, width = 0;
  row_widths widths{model_description{}};

  buffer input_LND;  ///< [L + 1, N, D]
  buffer qkv_LNE, attention_LNHK, lse_LNH, middle_LND, up_LNU, sum_LND;

  /// Makes room for a batch of n tokens, whose activations are of `type`.
  void prepare(context& ctx, const model_description& description, int64_t tokens, dtype type);
  reals input(int64_t layer) const { return input_LND.data() + layer * n * width; }
  block_buffers block(int64_t layer);
  int64_t bytes() const;
};

}  // namespace troupe::engine
