/// How the arenas of a model are divided among ranks. An arena is a row of segments (before the blocks, each block,
/// behind the blocks), which are gathered and reduced one at a time; each segment is divided into one part per rank, at
/// the boundaries of whole panels or vectors (units), so that a part of a matrix is a range of its logical rows.
#pragma once

#include "engine/arena/parameters.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace troupe::engine {

/// Logical rows [first_row, last_row) of a matrix, or values of a vector (rows count values), that lie in a part. A
/// matrix' first row begins a panel.
struct parameter_rows {
  const parameter* of = nullptr;
  int64_t first_row = 0, last_row = 0;
  int64_t arena_offset = 0;  ///< where the first row's panel, or the first value, stands in an arena
  int64_t shard_offset = 0;  ///< and in the rank's shard
  /// Logical elements before the first row, and behind the last: the flat range of the row-major whole.
  int64_t begin() const { return first_row * width(); }
  int64_t end() const { return last_row * width(); }

private:
  int64_t width() const { return of->is_matrix() ? of->shape[1] : 1; }
};

class shard_plan {
public:
  /// `segments` of the layout, which must outlive the plan: see transformer::segments.
  /// Errors  bad_argument: ranks < 1, or segments that do not cover the layout in order, or end within a parameter.
  shard_plan(const parameter_layout& layout, std::span<const arena_range> segments, int ranks);

  int ranks() const { return ranks_; }
  int64_t segments() const { return static_cast<int64_t>(segments_.size()); }
  arena_range segment(int64_t s) const { return segments_[static_cast<size_t>(s)]; }
  int64_t arena_size() const { return segments_.back().last; }

  /// Where the ranks' parts of segment s begin, in floats from the segment's own first, and the segment's size. [R + 1]
  std::span<const int64_t> offset_R1(int64_t s) const;
  /// A rank's part of segment s, in floats of the arena.
  arena_range part(int64_t s, int rank) const;

  /// A rank's parts end to end: where part s begins in its shard, and the shard's size.
  int64_t shard_offset(int64_t s, int rank) const;
  int64_t shard_size(int rank) const { return shard_offset(segments(), rank); }

  /// What of the parameters lies in a rank's shard, in the arena's order: what a checkpoint file of that rank holds.
  std::vector<parameter_rows> rows(int rank) const;

  /// All units of the arena, in order: the sums of the gradient's norm are joined over them, so that they do not depend
  /// on how an arena is divided. A unit is a panel, or a vector with the gap behind it.
  std::span<const arena_range> units() const { return units_; }
  /// Of each unit: the inputs of the panel, of 32 outputs; 0: it is a vector.
  std::span<const int64_t> unit_inputs() const { return unit_inputs_; }
  /// Those of a part: indices into units().
  arena_range units_of(int64_t s, int rank) const;

private:
  void divide(int64_t s);

  const parameter_layout* layout_;
  int ranks_;
  std::vector<arena_range> segments_, units_;
  std::vector<int64_t> unit_inputs_;
  std::vector<int64_t> offsets_;        ///< [segments, R + 1]
  std::vector<int64_t> shard_offsets_;  ///< [segments + 1, R]
};

using shard_plan_ptr = std::shared_ptr<const shard_plan>;

}  // namespace troupe::engine
