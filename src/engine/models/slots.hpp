/// Where each parameter of a model stands in an arena.
#pragma once

#include "engine/arena/parameters.hpp"
#include "engine/models/description.hpp"
#include "engine/tensor_parallel/columns.hpp"

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

/// Appends the parameters of `description` to `layout`, in the order of a forward pass. With `columns`, `description` is that
/// of a rank (description_of in columns.hpp), `out` and `down` have its columns of the stream only, and the token table and
/// the head its tokens.
model_slots lay_out(const model_description& description, parameter_layout& layout,
                    const column_split* columns = nullptr);

/// What stands before the blocks, each block, and what stands behind them (it may be empty), in the arena's order: L + 2.
std::vector<arena_range> segments_of(const model_slots& slots, const parameter_layout& layout);

}  // namespace troupe::engine
