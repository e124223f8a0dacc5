/// Arenas between host memory, where matrices stand in panels, and a card, where they stand in rows. The order differs
/// only within a unit of 32 outputs, so offsets, segments and shards are one thing for both.
#pragma once

#include "base/context.hpp"
#include "base/device.hpp"
#include "base/reals.hpp"
#include "engine/arena/parameters.hpp"
#include "engine/arena/shards.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace troupe::engine {

/// Pinned memory through which values go to a card and come from it, kept from copy to copy: to pin it takes longer
/// than a copy. It ends before the card does.
class staging {
public:
  /// `which` of two: for who fills one while the other goes.
  /// Errors  out_of_memory.
  std::byte* room(context& ctx, int64_t bytes, size_t which = 0);

private:
  std::array<std::unique_ptr<pinned_memory>, 2> memory_;
};

// All of these return when the values are there. Large arrays go in chunks: while one is copied, the host turns another
// from rows to panels or back. Errors of all: device_failure, out_of_memory.

/// Where a rank's parts stand.
enum class part_places : uint8_t {
  of_arena,  ///< where they are in a whole arena, of which nothing else is looked at
  of_shard,  ///< end to end (shard_plan::shard_offset)
};

/// `host` := a rank's parts of what lies where `ctx` computes, in host memory and in the host's order. A shard of them
/// is what that rank's file of a checkpoint is made of: the same bytes wherever they come from.
void fetch_parts(context& ctx, const shard_plan& plan, int rank, const_reals from, part_places places, reals host,
                 staging& through, part_places host_places = part_places::of_shard);

/// The way back: `to` := `host`, rounded where its type is narrower.
void send_parts(context& ctx, const shard_plan& plan, int rank, const_reals host, reals to, part_places places,
                staging& through, part_places host_places = part_places::of_shard);

/// Segment s of an arena in host memory := that of one that lies where `ctx` computes, all ranks' parts of it.
void fetch_segment(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to, staging& through);

/// The way back: rounded where the type of `to` is narrower.
void send_segment(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to, staging& through);

/// Segment s in the order of a card, from that of the host, and back; rounded where `to` is narrower. Both are in host
/// memory, and their pointers are those of the segment's first value.
void to_card_order(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to);
void to_host_order(context& ctx, const shard_plan& plan, int64_t s, const_reals from, reals to);

/// Of one rank alone.
shard_plan undivided(const parameter_layout& layout);

/// send_parts and fetch_parts of an arena that one rank has alone.
void send_arena(context& ctx, const parameter_layout& layout, const_reals host, reals on_card, staging& through);
void fetch_arena(context& ctx, const parameter_layout& layout, const_reals on_card, reals host, staging& through);

}  // namespace troupe::engine
