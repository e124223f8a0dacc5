/// How the arenas of a model are cut among ranks. An arena is a row of segments (before the blocks, each block, behind the
/// blocks), which are gathered and reduced one at a time; each segment is cut into one part per rank, at the boundaries of
/// whole panels or vectors (units), so that a part of a matrix is a range of its logical rows.
#pragma once

#include "engine/models/parameters.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe::engine {

/// Floats [first, last) of an arena.
struct arena_range {
  int64_t first = 0, last = 0;
  int64_t size() const { return last - first; }
};

/// Logical rows [first_row, last_row) of a matrix, or the values of a whole vector (rows count values), that lie in a part.
struct parameter_rows {
  const parameter* of = nullptr;
  int64_t first_row = 0, last_row = 0;
};

class shard_plan {
public:
  /// `segments` of the layout: see transformer::segments.   Errors  bad_argument: ranks < 1.
  shard_plan(const parameter_layout& layout, std::span<const arena_range> segments, int ranks);

  int ranks() const;
  int64_t segments() const;
  arena_range segment(int64_t s) const;
  /// Where the ranks' parts of segment s begin, in floats of the arena, and the segment's end. [R + 1]
  std::span<const int64_t> offset_R1(int64_t s) const;
  arena_range part(int64_t s, int rank) const;

  /// A rank's parts end to end: where part s begins in its shard, and the shard's size.
  int64_t shard_offset(int64_t s, int rank) const;
  int64_t shard_size(int rank) const;

  /// What of the parameters lies in a rank's shard, in the arena's order: what a checkpoint file of that rank holds.
  std::vector<parameter_rows> rows(int rank) const;

  /// All units of the arena, in order: the sums of the gradient's norm are joined over them, so that they do not depend
  /// on how an arena is cut.
  std::span<const arena_range> units() const;

private:
  // ...
};

}  // namespace troupe::engine
