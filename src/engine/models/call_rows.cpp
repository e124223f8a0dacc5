#include "engine/models/call_rows.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace troupe::engine {

call_rows::call_rows(call_sheet& sheet, std::span<const int32_t> token_N, std::span<const int32_t> position_N,
                     int64_t position_offset, bool by_index)
    : sheet_(sheet), tokens_(sheet.add(token_N)), positions_(sheet.add(position_N)), has_table_(position_offset >= 0) {
  if (by_index) {
    by_token_ = add_by_index(token_N);
  }
  if (has_table_) {
    position_rows_ = sheet.add(position_N);
    for (int32_t& row : sheet.staged<int32_t>(position_rows_, position_N.size())) {
      row += static_cast<int32_t>(position_offset);
    }
    if (by_index) {
      by_position_ = add_by_index(position_N);  // rows follow each other as positions do
    }
  }
}

call_rows::places_by_index call_rows::add_by_index(std::span<const int32_t> index_N) {
  std::vector<int32_t> row_N(index_N.size());
  std::iota(row_N.begin(), row_N.end(), 0);
  std::stable_sort(row_N.begin(), row_N.end(), [&](int32_t a, int32_t b) {
    return index_N[static_cast<size_t>(a)] < index_N[static_cast<size_t>(b)];
  });
  std::vector<int32_t> begin_U1;
  for (size_t i = 0; i < row_N.size(); ++i) {
    if (i == 0 || index_N[static_cast<size_t>(row_N[i])] != index_N[static_cast<size_t>(row_N[i - 1])]) {
      begin_U1.push_back(static_cast<int32_t>(i));
    }
  }
  const auto distinct = static_cast<int64_t>(begin_U1.size());
  begin_U1.push_back(static_cast<int32_t>(row_N.size()));
  const size_t rows = sheet_.add(std::span<const int32_t>(row_N));
  return {.rows = rows, .begins = sheet_.add(std::span<const int32_t>(begin_U1)), .distinct = distinct};
}

rows_by_index call_rows::of(const places_by_index& at) const {
  return at.distinct == 0 ? rows_by_index{}
                          : rows_by_index{.row_N = sheet_.at<int32_t>(at.rows),
                                          .begin_U1 = sheet_.at<int32_t>(at.begins),
                                          .distinct = at.distinct};
}

std::vector<int32_t> query_tiles(std::span<const int64_t> offset_B1) {
  std::vector<int32_t> tile_T2;
  for (size_t b = 0; b + 1 < offset_B1.size(); ++b) {
    const int64_t length = offset_B1[b + 1] - offset_B1[b];
    for (int32_t tile = 0; tile * kernels::attention_tile < length; ++tile) {
      tile_T2.insert(tile_T2.end(), {static_cast<int32_t>(b), tile});
    }
  }
  return tile_T2;
}

}  // namespace troupe::engine
