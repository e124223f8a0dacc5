/// Where each parameter of a model stands in an arena.
#pragma once

#include "engine/arena/parameters.hpp"
#include "engine/models/model_share.hpp"

#include <cstdint>
#include <vector>

namespace troupe::engine {

inline constexpr int64_t absent = -1;

/// y = x W^T + b. Offsets in floats.
struct linear_slot {
  int64_t weight = absent, bias = absent;
  int64_t outputs = 0, inputs = 0;
  explicit operator bool() const { return weight != absent; }
};

struct norm_slot {
  int64_t gamma = absent, beta = absent;
  explicit operator bool() const { return gamma != absent; }
};

struct table_slot {
  int64_t weight = absent;
  int64_t rows = 0, width = 0;
  explicit operator bool() const { return weight != absent; }
};

struct block_slots {
  norm_slot attention_norm, feed_forward_norm;
  linear_slot qkv;   ///< [(H + 2G) K, D]: query heads, key heads, value heads
  linear_slot out;   ///< [D, H K]
  linear_slot up;    ///< [F, D], or [2F, D] where gated: gate rows, then up rows
  linear_slot down;  ///< [D, F]
};

struct model_slots {
  table_slot token_table;     ///< [V, E]
  table_slot position_table;  ///< [P + offset, D]; absent unless positions are learned
  norm_slot embedding_norm;
  linear_slot project_in;  ///< [D, E]; absent where E = D
  std::vector<block_slots> blocks;
  norm_slot final_norm;
  linear_slot project_out;  ///< [E, D]
  linear_slot head;         ///< [V, E] (the token table's own bytes where tied) or [1, E]
};

/// Appends the parameters of a share of a model to an empty layout, in the order of a forward pass and in L + 2
/// segments: what stands before the blocks, each block, and what stands behind them (it may be empty). Matrices have
/// the share's rows, and read whole results.
model_slots lay_out(const model_description& whole, const model_share& share, parameter_layout& layout);
/// All of the model.
model_slots lay_out(const model_description& whole, parameter_layout& layout);

}  // namespace troupe::engine
