/// Arenas between host memory, where matrices stand in panels, and a card, where they stand in rows. The order differs
/// only within a unit of 32 outputs, so offsets, segments and shards are one thing for both.
#pragma once

#include "base/context.hpp"
#include "base/reals.hpp"
#include "engine/arena/parameters.hpp"

namespace troupe::engine {

/// `on_card` := `host`, rounded where its type is narrower. Gaps between parameters become 0.
/// Errors  device_failure.
void send_arena(context& ctx, const parameter_layout& layout, const_reals host, reals on_card);

/// `host` := `on_card`. Gaps between parameters stay as they are.
/// Errors  device_failure.
void fetch_arena(context& ctx, const parameter_layout& layout, const_reals on_card, float* host);

}  // namespace troupe::engine
