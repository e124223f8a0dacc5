/// What a transformer is given to read.
#pragma once

#include "kernels/attention.hpp"

#include <cstdint>
#include <span>

namespace troupe::engine {

/// Packed sequences: N tokens end to end, no pads.
struct token_batch {
  std::span<const int32_t> token_N;
  std::span<const int64_t> offset_B1;
  std::span<const int32_t> position_N;  ///< empty: each sequence counts from 0

  int64_t tokens() const { return static_cast<int64_t>(token_N.size()); }
  int64_t sequences() const { return static_cast<int64_t>(offset_B1.size()) - 1; }
};

/// New tokens of sequences whose past is in a paged cache.
struct paged_batch {
  std::span<const int32_t> token_N;
  kernels::page_map where;
  std::span<const kernels::kv_pages> pages_L;  ///< one per layer
};

/// The same where all of it lies on a card already, and has been checked: a token of each sequence.
struct placed_batch {
  int64_t rows = 0;
  const int32_t* token_N = nullptr;
  const int32_t* position_N = nullptr;
  const int32_t* position_row_N = nullptr;  ///< of the position table; not looked at where positions are not learned
  kernels::page_map where;
  std::span<const kernels::kv_pages> pages_L;
};

}  // namespace troupe::engine
