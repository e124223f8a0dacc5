/// The arrays of a kernels::page_map, from one call to the next.
#pragma once

#include "kernels/attention.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

class page_tables {
public:
  void clear();

  /// The call's next `rows` rows are of a sequence that lies in `pages`, and stand at its positions from `position` on.
  /// `pages` is read by `map`.
  void add(std::span<const int32_t> pages, int64_t rows, int64_t position);

  int64_t sequences() const { return static_cast<int64_t>(pages_S_.size()); }
  int64_t rows() const { return row_S1_.back(); }

  /// Of what was added since `clear`; valid until then.
  kernels::page_map map();

private:
  std::vector<std::span<const int32_t>> pages_S_;
  std::vector<int64_t> row_S1_ = {0};
  std::vector<int32_t> position_S_, page_SP_;
};

}  // namespace troupe::engine
