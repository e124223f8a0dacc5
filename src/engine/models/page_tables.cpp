#include "engine/models/page_tables.hpp"

#include <algorithm>

namespace troupe::engine {

void page_tables::clear() {
  pages_S_.clear();
  row_S1_.assign(1, 0);
  position_S_.clear();
}

void page_tables::add(std::span<const int32_t> pages, int64_t rows, int64_t position) {
  pages_S_.push_back(pages);
  row_S1_.push_back(row_S1_.back() + rows);
  position_S_.push_back(static_cast<int32_t>(position));
}

kernels::page_map page_tables::map() {
  size_t stride = 0;
  for (const std::span<const int32_t> pages : pages_S_) {
    stride = std::max(stride, pages.size());
  }
  page_SP_.assign(pages_S_.size() * stride, 0);
  for (size_t s = 0; s < pages_S_.size(); ++s) {
    std::copy(pages_S_[s].begin(), pages_S_[s].end(), page_SP_.begin() + static_cast<std::ptrdiff_t>(s * stride));
  }
  return {.page_SP = page_SP_.data(),
          .row_S1 = row_S1_.data(),
          .position_S = position_S_.data(),
          .sequences = sequences(),
          .stride = static_cast<int64_t>(stride)};
}

}  // namespace troupe::engine
