/// The part of a model that a transformer computes itself: all of it, or one rank's part where several ranks generate
/// together (tensor_parallel/columns.hpp).
#pragma once

#include "engine/models/description.hpp"

#include <cstdint>

namespace troupe::engine {

/// Rows [first, last) of a weight, or heads, units, columns or tokens.
struct row_range {
  int64_t first = 0, last = 0;
  int64_t size() const { return last - first; }
  bool operator==(const row_range&) const = default;
};

struct model_share {
  row_range heads, kv_heads;
  row_range units;    ///< of the feed-forward
  row_range columns;  ///< of the residual stream, in the results of attention and feed-forward
  row_range tokens;   ///< of the token table and the language-model head
};

model_share all_of(const model_description& whole);

/// `whole` with the heads, key/value heads and units of a share: the shape of its attention, cache and activations.
model_description description_of(const model_description& whole, const model_share& share);

}  // namespace troupe::engine
