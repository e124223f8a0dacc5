#include "engine/arena/card_arena.hpp"

#include "base/device.hpp"
#include "base/error.hpp"
#include "kernels/matrix.hpp"

#include <algorithm>
#include <optional>

namespace troupe::engine {

namespace {

constexpr int64_t chunk_values = int64_t{4} << 20;  ///< of two that are on their way at a time

void assign(float value, float& to) { to = value; }
void assign(float value, bf16& to) { to = to_bf16(value); }

template <class Body> void with_type(dtype type, const Body& body) { type == dtype::bf16 ? body(bf16()) : body(0.0F); }

/// Rows to a panel, or back: to [columns, rows] := from [rows, columns].
template <class From, class To> void turn(const From* from, int64_t rows, int64_t columns, To* to) {
  for (int64_t column = 0; column < columns; ++column) {
    for (int64_t row = 0; row < rows; ++row) {
      assign(to_float(from[row * columns + column]), to[column * rows + row]);
    }
  }
}

template <class Real> void copy(const Real* from, int64_t count, Real* to) { std::copy_n(from, count, to); }

template <class From, class To> void copy(const From* from, int64_t count, To* to) {
  for (int64_t i = 0; i < count; ++i) {
    assign(to_float(from[i]), to[i]);
  }
}

enum class order_change : uint8_t { none, to_panels, to_rows };

/// Both pointers are those of the unit's first value.
void move_unit(const_reals from, reals to, int64_t count, int64_t inputs, order_change change) {
  with_type(from.type(), [&](auto source) {
    with_type(to.type(), [&](auto target) {
      const auto* values = from.as<decltype(source)>();
      auto* room = to.as<decltype(target)>();
      if (inputs == 0 || change == order_change::none) {
        copy(values, count, room);
      } else if (change == order_change::to_panels) {
        turn(values, kernels::panel_width, inputs, room);
      } else {
        turn(values, inputs, kernels::panel_width, room);
      }
    });
  });
}

/// Units [first, last) that follow each other; both pointers are those of the first one's first value.
void move_units(context& ctx, const shard_plan& plan, arena_range units, const_reals from, reals to,
                order_change change) {
  const int64_t begin = plan.units()[static_cast<size_t>(units.first)].first;
  ctx.pool.parallel_for(units.size(), [&](int64_t i) {
    const auto unit = static_cast<size_t>(units.first + i);
    const arena_range range = plan.units()[unit];
    move_unit(from + (range.first - begin), to + (range.first - begin), range.size(), plan.unit_inputs()[unit], change);
  });
}

/// Calls body(units, values) for pieces of a part, in order: which units, and which values counted from the part's
/// first. Of more units than one only where they are `chunk_values` at most.
template <class Body> void in_chunks(const shard_plan& plan, int64_t s, int rank, const Body& body) {
  const arena_range part = plan.part(s, rank);
  const arena_range of_part = plan.units_of(s, rank);
  for (arena_range units{of_part.first, of_part.first}; units.last < of_part.last; units.first = units.last) {
    const int64_t first = plan.units()[static_cast<size_t>(units.first)].first;
    const auto end_of_next = [&] { return plan.units()[static_cast<size_t>(units.last)].last; };
    do {
      ++units.last;
    } while (units.last < of_part.last && end_of_next() - first <= chunk_values);
    body(units, arena_range{first - part.first, plan.units()[static_cast<size_t>(units.last) - 1].last - part.first});
  }
}

int64_t place_of(const shard_plan& plan, int64_t s, int rank, part_places places) {
  return places == part_places::of_arena ? plan.part(s, rank).first : plan.shard_offset(s, rank);
}

/// Chunks from a card, or to it. What was called before may still write or read there.
class chunk_queue {
public:
  chunk_queue(context& ctx, const shard_plan& plan, staging& through, queue in)
      : ctx_(ctx), plan_(plan), through_(through), in_(in) {
    if (ctx.on != nullptr) {
      ctx.on->await(in, ctx.on->record(queue::compute));
    }
  }
  chunk_queue(const chunk_queue&) = delete;
  chunk_queue& operator=(const chunk_queue&) = delete;
  /// Where something has failed: nothing is under way that uses the staging memory.
  ~chunk_queue() {
    try {
      wait_for_last();
    } catch (const error&) {  // of a card that does nothing any more
    }
  }

protected:
  /// True: both places are the host's, and nothing has to be copied.
  bool move_on_host(arena_range units, const_reals from, reals to) const {
    if (ctx_.on == nullptr) {
      move(units, from, to, order_change::none);
    }
    return ctx_.on == nullptr;
  }
  std::byte* next_room(int64_t bytes) {
    turn_ = 1 - turn_;
    return through_.room(ctx_, bytes, turn_);
  }
  mark copy(void* to, const void* from, int64_t bytes) {
    ctx_.on->copy(in_, to, from, bytes);
    return last_copy_ = ctx_.on->record(in_);
  }
  void move(arena_range units, const_reals from, reals to, order_change change) const {
    move_units(ctx_, plan_, units, from, to, change);
  }
  size_t turn() const { return turn_; }
  void wait_for(mark moment) const { ctx_.on->finish(moment); }
  void wait_for_last() const {
    if (ctx_.on != nullptr) {
      wait_for(last_copy_);
    }
  }

private:
  context& ctx_;
  const shard_plan& plan_;
  staging& through_;
  queue in_;
  mark last_copy_ = 0;
  size_t turn_ = 0;
};

/// To host memory: a chunk comes while the one before it is put in its place.
class fetched_chunks : chunk_queue {
public:
  fetched_chunks(context& ctx, const shard_plan& plan, staging& through)
      : chunk_queue(ctx, plan, through, queue::download) {}

  /// `from` lies where the context computes.
  void chunk(arena_range units, const_reals from, reals to, int64_t count) {
    if (move_on_host(units, from, to)) {
      return;
    }
    const int64_t bytes = count * size_of(from.type());
    std::byte* const room = next_room(bytes);
    const arriving next{units, {room, from.type()}, to, copy(room, from.data(), bytes)};
    finish();
    last_ = next;
  }

  void finish() {
    if (last_) {
      wait_for(last_->there);
      move(last_->units, last_->room, last_->to, order_change::to_panels);
    }
    last_.reset();
  }

private:
  struct arriving {
    arena_range units;
    reals room, to;
    mark there;
  };
  std::optional<arriving> last_;
};

/// The way back: a chunk goes while the next one is put in the card's order.
class sent_chunks : chunk_queue {
public:
  sent_chunks(context& ctx, const shard_plan& plan, staging& through)
      : chunk_queue(ctx, plan, through, queue::upload) {}

  /// `to` lies where the context computes.
  void chunk(arena_range units, const_reals from, reals to, int64_t count) {
    if (move_on_host(units, from, to)) {
      return;
    }
    const int64_t bytes = count * size_of(to.type());
    wait_for(sent_[1 - turn()]);
    std::byte* const room = next_room(bytes);
    move(units, from, {room, to.type()}, order_change::to_rows);
    sent_[turn()] = copy(to.data(), room, bytes);
  }

  void finish() { wait_for_last(); }

private:
  std::array<mark, 2> sent_{};  ///< by rooms
};

/// Calls body(units, where they stand, where they stand in host memory, values) for all chunks of a rank's parts.
template <class Body>
void over_parts(const shard_plan& plan, int rank, part_places places, part_places host_places, const Body& body) {
  for (int64_t s = 0; s < plan.segments(); ++s) {
    in_chunks(plan, s, rank, [&](arena_range units, arena_range values) {
      body(units, place_of(plan, s, rank, places) + values.first, place_of(plan, s, rank, host_places) + values.first,
           values.size());
    });
  }
}

/// Calls body(units, where they stand in an arena, values) for all chunks of a segment, whichever rank's they are.
template <class Body> void over_segment(const shard_plan& plan, int64_t s, const Body& body) {
  for (int rank = 0; rank < plan.ranks(); ++rank) {
    in_chunks(plan, s, rank, [&](arena_range units, arena_range values) {
      body(units, plan.part(s, rank).first + values.first, values.size());
    });
  }
}

}  // namespace

std::byte* staging::room(context& ctx, int64_t bytes, size_t which) {
  std::unique_ptr<pinned_memory>& memory = memory_[which];
  if (!memory || memory->bytes() < bytes) {
    memory.reset();
    memory = ctx.on->pin(bytes);
  }
  return memory->data();
}

void fetch_parts(context& ctx, const shard_plan& plan, int rank, const_reals from, part_places places, reals host,
                 staging& through, part_places host_places) {
  fetched_chunks chunks(ctx, plan, through);
  over_parts(plan, rank, places, host_places, [&](arena_range units, int64_t at, int64_t at_host, int64_t count) {
    chunks.chunk(units, from + at, host + at_host, count);
  });
  chunks.finish();
}

void send_parts(context& ctx, const shard_plan& plan, int rank, const_reals host, reals to, part_places places,
                staging& through, part_places host_places) {
  sent_chunks chunks(ctx, plan, through);
  over_parts(plan, rank, places, host_places, [&](arena_range units, int64_t at, int64_t at_host, int64_t count) {
    chunks.chunk(units, host + at_host, to + at, count);
  });
  chunks.finish();
}

void fetch_segment(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to, staging& through) {
  fetched_chunks chunks(ctx, plan, through);
  over_segment(plan, s,
               [&](arena_range units, int64_t at, int64_t count) { chunks.chunk(units, from + at, to + at, count); });
  chunks.finish();
}

void send_segment(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to, staging& through) {
  sent_chunks chunks(ctx, plan, through);
  over_segment(plan, s,
               [&](arena_range units, int64_t at, int64_t count) { chunks.chunk(units, from + at, to + at, count); });
  chunks.finish();
}

/// Ranks' units follow each other.
static void move_segment(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to,
                         order_change change) {
  const arena_range units{plan.units_of(s, 0).first, plan.units_of(s, plan.ranks() - 1).last};
  if (units.size() > 0) {
    move_units(ctx, plan, units, from, to, change);
  }
}

void to_card_order(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to) {
  move_segment(ctx, plan, s, from, to, order_change::to_rows);
}

void to_host_order(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to) {
  move_segment(ctx, plan, s, from, to, order_change::to_panels);
}

shard_plan undivided(const parameter_layout& layout) { return {layout, layout.segments(), 1}; }

void send_arena(context& ctx, const parameter_layout& layout, const_reals host, reals on_card, staging& through) {
  send_parts(ctx, undivided(layout), 0, host, on_card, part_places::of_arena, through, part_places::of_arena);
}

void fetch_arena(context& ctx, const parameter_layout& layout, const_reals on_card, reals host, staging& through) {
  fetch_parts(ctx, undivided(layout), 0, on_card, part_places::of_arena, host, through, part_places::of_arena);
}

}  // namespace troupe::engine
