#include "engine/arena/shards.hpp"

#include "base/error.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>

namespace troupe::engine {

namespace {

int64_t panel_size(const parameter& p) { return p.is_matrix() ? kernels::panel_width * p.shape[1] : p.size; }

/// Panels and vectors, each with what lies between it and the next.
std::vector<arena_range> units_of_layout(const parameter_layout& layout) {
  std::vector<arena_range> units;
  for (const parameter& p : layout.all()) {
    for (int64_t first = p.offset; first < p.offset + p.size; first += panel_size(p)) {
      if (!units.empty()) {
        units.back().last = first;
      }
      units.push_back({first, first});
    }
  }
  if (!units.empty()) {
    units.back().last = layout.arena_size();
  }
  return units;
}

/// By unit.
std::vector<int64_t> inputs_of_units(const parameter_layout& layout) {
  std::vector<int64_t> inputs;
  for (const parameter& p : layout.all()) {
    const int64_t units = p.size == 0 ? 0 : p.size / panel_size(p);
    inputs.insert(inputs.end(), static_cast<size_t>(units), p.is_matrix() ? p.shape[1] : 0);
  }
  return inputs;
}

/// Of the unit that begins at `offset` or later.
int64_t unit_at(std::span<const arena_range> units, int64_t offset) {
  const auto found = std::lower_bound(units.begin(), units.end(), offset,
                                      [](const arena_range& unit, int64_t at) { return unit.first < at; });
  return found - units.begin();
}

void check_segments(const parameter_layout& layout, std::span<const arena_range> segments) {
  int64_t end = 0;
  for (const arena_range& segment : segments) {
    if (segment.first != end || segment.last < segment.first) {
      throw error(errc::bad_argument, "segment [{}, {}) of an arena does not follow the one that ends at {}",
                  segment.first, segment.last, end);
    }
    end = segment.last;
    for (const parameter& p : layout.all()) {
      if (p.offset < segment.last && segment.last < p.offset + p.size) {
        throw error(errc::bad_argument, "the segment that ends at {} ends within parameter {}", segment.last, p.name);
      }
    }
  }
  if (segments.empty() || end != layout.arena_size()) {
    throw error(errc::bad_argument, "the segments end at {}, the arena at {}", end, layout.arena_size());
  }
}

}  // namespace

shard_plan::shard_plan(const parameter_layout& layout, std::span<const arena_range> segments, int ranks)
    : layout_(&layout), ranks_(ranks), segments_(segments.begin(), segments.end()), units_(units_of_layout(layout)),
      unit_inputs_(inputs_of_units(layout)) {
  if (ranks < 1) {
    throw error(errc::bad_argument, "an arena cannot be divided among {} ranks", ranks);
  }
  check_segments(layout, segments);
  shard_offsets_.assign(static_cast<size_t>(ranks), 0);
  for (int64_t s = 0; s < this->segments(); ++s) {
    divide(s);
  }
}

/// At the units' boundaries that lie nearest to equal parts.
void shard_plan::divide(int64_t s) {
  const arena_range segment = segments_[static_cast<size_t>(s)];
  int64_t before = segment.first;
  for (int r = 0; r < ranks_; ++r) {
    const int64_t target = segment.first + segment.size() * r / ranks_;
    const int64_t unit = unit_at(units_, target);
    const int64_t above =
        unit < static_cast<int64_t>(units_.size()) ? units_[static_cast<size_t>(unit)].first : segment.last;
    const int64_t below = unit > 0 ? units_[static_cast<size_t>(unit) - 1].first : segment.first;
    const int64_t nearest = target - below < above - target ? below : above;
    before = std::clamp(nearest, before, segment.last);
    offsets_.push_back(before - segment.first);
  }
  offsets_.push_back(segment.size());
  for (int r = 0; r < ranks_; ++r) {
    shard_offsets_.push_back(shard_offset(s, r) + part(s, r).size());
  }
}

std::span<const int64_t> shard_plan::offset_R1(int64_t s) const {
  const auto each = static_cast<size_t>(ranks_) + 1;
  return std::span(offsets_).subspan(static_cast<size_t>(s) * each, each);
}

arena_range shard_plan::part(int64_t s, int rank) const {
  const auto offset = offset_R1(s);
  const int64_t first = segment(s).first;
  return {first + offset[static_cast<size_t>(rank)], first + offset[static_cast<size_t>(rank) + 1]};
}

int64_t shard_plan::shard_offset(int64_t s, int rank) const {
  return shard_offsets_[static_cast<size_t>(s * ranks_ + rank)];
}

arena_range shard_plan::units_of(int64_t s, int rank) const {
  const arena_range mine = part(s, rank);
  return {unit_at(units_, mine.first), unit_at(units_, mine.last)};
}

std::vector<parameter_rows> shard_plan::rows(int rank) const {
  std::vector<parameter_rows> found;
  int64_t s = 0;
  for (const parameter& p : layout_->all()) {
    while (p.offset >= segment(s).last) {
      ++s;
    }
    const arena_range mine = part(s, rank);
    const int64_t first = std::max(p.offset, mine.first);
    if (first >= std::min(p.offset + p.size, mine.last)) {
      continue;
    }
    const int64_t per_row = p.is_matrix() ? p.shape[1] : 1;
    const int64_t last = std::min(p.offset + p.size, mine.last);
    found.push_back({.of = &p,
                     .first_row = (first - p.offset) / per_row,
                     .last_row = std::min(p.shape[0], (last - p.offset) / per_row),
                     .arena_offset = first,
                     .shard_offset = shard_offset(s, rank) + first - mine.first});
  }
  return found;
}

}  // namespace troupe::engine
