/// The rows of a call as its kernels see them: tokens, positions, and what looks up which row of a table.
#pragma once

#include "engine/models/block.hpp"
#include "engine/tensor/call_sheet.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace troupe::engine {

enum class call_kind : uint8_t { forward, backward };

/// Arrays in a call's sheet, by their places; pointers once it is sent.
class call_rows {
public:
  /// `position_offset`: from a position to its row of the position table; nothing of that table where it is negative.
  /// The rows by index are for a card's backward alone.
  call_rows(call_sheet& sheet, std::span<const int32_t> token_N, std::span<const int32_t> position_N,
            int64_t position_offset, bool by_index);

  const int32_t* token_N() const { return sheet_.at<int32_t>(tokens_); }
  const int32_t* position_N() const { return sheet_.at<int32_t>(positions_); }
  const int32_t* position_row_N() const { return has_table_ ? sheet_.at<int32_t>(position_rows_) : nullptr; }
  rows_by_index by_token() const { return of(by_token_); }
  rows_by_index by_position() const { return of(by_position_); }

private:
  struct places_by_index {
    size_t rows = 0, begins = 0;
    int64_t distinct = 0;
  };
  places_by_index add_by_index(std::span<const int32_t> index_N);
  rows_by_index of(const places_by_index& at) const;

  call_sheet& sheet_;
  size_t tokens_ = 0, positions_ = 0, position_rows_ = 0;
  bool has_table_ = false;
  places_by_index by_token_, by_position_;
};

/// For each 64 rows of a sequence the sequence and their tile in it: kernels::attention_args::tile_T2.
std::vector<int32_t> query_tiles(std::span<const int64_t> offset_B1);

}  // namespace troupe::engine
